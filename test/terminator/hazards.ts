/** Every driver, every way in which a host is not what its owner thinks it is, and the reason by which that is said. */
import { PRODUCT_VERSION, TRUST_STORE_SHA256 } from '../../src/api/annotations.ts';
import { CONTOUR } from '../../src/terminator/drivers/contour.ts';
import { drivers } from '../../src/terminator/registry.ts';
import type { SafeWorld } from './safe-world.ts';
import { HOST } from './world.ts';

export interface Row {
  drivers: readonly string[];
  hazard: string;
  reason: string;
  change: (world: SafeWorld) => unknown;
}

export const all = drivers.map(({ name }) => name);
export const ofIngresses = drivers.filter(({ frontend }) => frontend === 'Ingress').map(({ name }) => name);
export const ofGateways = ['gateway-api', 'envoy-gateway'];
export const ofHosts = [...ofIngresses, 'contour'];
export const prefix = {
  nginx: 'nginx.ingress.kubernetes.io',
  haproxy: 'haproxy-ingress.github.io',
  traefik: 'traefik.ingress.kubernetes.io',
} as const;
export const elsewhere = { hosts: ['www.example.test'] };

/** Of a Gateway. */
export const httpAndHttps = (http: Record<string, unknown> = {}) => [
  { name: 'http', protocol: 'HTTP', port: 80, ...http },
  { name: 'https', protocol: 'HTTPS', port: 443 },
];

export const table: readonly Row[] = [
  {
    drivers: [...ofIngresses, ...ofGateways],
    hazard: 'an unknown class',
    reason: 'UnknownIngressClass',
    change: (world) => world.class({}, 'example.com/unheard-of'),
  },
  {
    drivers: ['nginx', 'traefik', 'haproxy', ...ofGateways],
    hazard: 'a version that is known to be unsafe',
    reason: 'TerminatorOutdated',
    change: (world) => world.class({ ...world.product.classAnnotations, [PRODUCT_VERSION]: 'v0.13.9' }),
  },
  {
    drivers: ['nginx', 'traefik', 'haproxy', ...ofGateways],
    hazard: 'a version that cannot be read',
    reason: 'TerminatorOutdated',
    change: (world) => world.class({ ...world.product.classAnnotations, [PRODUCT_VERSION]: 'latest' }),
  },
  {
    drivers: all.filter((name) => name !== 'manual'),
    hazard: 'a driver that is switched off',
    reason: 'TerminatorSwitchedOff',
    change: (world) => Reflect.set(world, 'drivers', new Set()),
  },
  {
    drivers: ofIngresses,
    hazard: 'no TLS on the host',
    reason: 'NoTLS',
    change: (world) => world.own({ tls: [] }),
  },
  {
    drivers: ['contour'],
    hazard: 'no TLS on the host',
    reason: 'NoTLS',
    change: (world) => world.own({ spec: { virtualhost: { tls: { secretName: '' } } } }),
  },
  {
    drivers: ['contour'],
    hazard: 'TLS that ends at the backend',
    reason: 'NoTLS',
    change: (world) => world.own({ spec: { virtualhost: { tls: { passthrough: true } } } }),
  },
  {
    drivers: ofGateways,
    hazard: 'no TLS on the host',
    reason: 'NoTLS',
    change: (world) => world.own({ spec: { listeners: [{ name: 'http', protocol: 'HTTP', port: 80 }] } }),
  },
  {
    drivers: ofIngresses,
    hazard: 'client authentication on the default server',
    reason: 'NoHost',
    change: (world) => world.own({ hosts: [HOST, ''], tls: [HOST] }),
  },
  {
    drivers: ofIngresses.filter((name) => name !== 'traefik' && name !== 'haproxy'),
    hazard: 'another host of the class before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.other(elsewhere),
  },
  {
    drivers: ofIngresses.filter((name) => name !== 'traefik' && name !== 'haproxy'),
    hazard: 'the default server of the class before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.other({ hosts: [''] }),
  },
  {
    drivers: [...ofIngresses, 'contour'],
    hazard: 'an Ingress of an unknown class before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.otherClass('example.com/other').other({ ...elsewhere, className: 'internal' }),
  },
  {
    drivers: [...ofIngresses.filter((name) => name !== 'haproxy'), 'contour'],
    hazard: 'a product before the same Service that strips its own header alone',
    reason: 'BackendExposed',
    change: (world) =>
      world.otherClass('haproxy-ingress.github.io/controller').other({ ...elsewhere, className: 'internal' }),
  },
  {
    drivers: ofIngresses.filter((name) => name !== 'aws-alb'),
    hazard: 'an HTTPProxy before the same Service',
    reason: 'BackendExposed',
    change: (world) =>
      world.proxies.set({
        metadata: { namespace: 'payments', name: 'other' },
        spec: { virtualhost: { fqdn: 'www.example.test' }, routes: [{ services: [{ name: 'api', port: 80 }] }] },
      }),
  },
  {
    drivers: ofHosts,
    hazard: 'an HTTPRoute before the same Service, of a Gateway that is not known',
    reason: 'BackendExposed',
    change: (world) => world.route('HTTPRoute'),
  },
  {
    drivers: ofHosts,
    hazard: 'a GRPCRoute before the same Service, of a product that verifies and passes nothing on',
    reason: 'BackendExposed',
    change: (world) => world.otherGateway('gateway.nginx.org/nginx-gateway-controller').route('GRPCRoute'),
  },
  {
    drivers: ofHosts.filter((name) => name !== 'contour'),
    hazard: 'an HTTPRoute before the same Service, of a product that strips its own header alone',
    reason: 'BackendExposed',
    change: (world) => world.otherGateway('gateway.envoyproxy.io/gatewayclass-controller').route('HTTPRoute'),
  },
  {
    drivers: ofHosts,
    hazard: 'an HTTPRoute that sends the same Service every request a second time',
    reason: 'BackendExposed',
    change: (world) => world.route('HTTPRoute', { services: [{ name: 'web' }], mirrors: [{ name: 'api' }] }),
  },
  {
    drivers: ofHosts,
    hazard: 'an HTTPRoute of another namespace that may reach the Service',
    reason: 'BackendExposed',
    change: (world) =>
      world.route('HTTPRoute', {
        namespace: 'edge',
        services: [{ name: 'api', namespace: 'payments' }],
        conditions: ['Accepted', 'ResolvedRefs'],
      }),
  },
  {
    drivers: [...ofHosts.filter((name) => name !== 'traefik'), ...ofGateways],
    hazard: 'an IngressRoute before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.behind().ingressRoute(),
  },
  {
    drivers: ofGateways,
    hazard: 'an Ingress before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.behind().ingressClass('internal', 'k8s.io/ingress-nginx').other({ className: 'internal' }),
  },
  {
    drivers: ofGateways,
    hazard: 'another Gateway before the same Service, of a product that passes nothing on',
    reason: 'BackendExposed',
    change: (world) => world.behind().otherGateway('gateway.nginx.org/nginx-gateway-controller').route('HTTPRoute'),
  },
  {
    drivers: ['nginx'],
    hazard: 'another Ingress with CAs of its own on the host',
    reason: 'HostShared',
    change: (world) =>
      world.other({ service: 'web', annotations: { [`${prefix.nginx}/auth-tls-secret`]: 'payments/theirs' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'another Ingress with CAs of its own on the host',
    reason: 'HostShared',
    change: (world) =>
      world.other({ service: 'web', annotations: { [`${prefix.haproxy}/auth-tls-secret`]: 'payments/theirs' } }),
  },
  {
    drivers: ['nginx'],
    hazard: 'another Ingress on the host with our CAs, that asks nobody',
    reason: 'HostShared',
    change: (world) =>
      world.other({
        service: 'web',
        annotations: { ...world.rendered.settings, [`${prefix.nginx}/auth-tls-verify-client`]: 'off' },
      }),
  },
  {
    drivers: ['traefik'],
    hazard: 'another Ingress on the host without the options',
    reason: 'HostShared',
    change: (world) => world.other({ service: 'web' }),
  },
  {
    drivers: ['contour'],
    hazard: 'an Ingress on the host, which is served when the HTTPProxy is not',
    reason: 'HostShared',
    change: (world) => world.ingressClass('contour', CONTOUR).other({ className: 'contour', service: 'web' }),
  },
  {
    drivers: ['contour'],
    hazard: 'the same, opted in',
    reason: 'HostShared',
    change: (world) =>
      world.ingressClass('contour', CONTOUR).other({ className: 'contour', service: 'web', server: 'corporate' }),
  },
  {
    drivers: ['nginx', 'haproxy'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) =>
      world.own({
        annotations: { [`${prefix[world.driver.name === 'nginx' ? 'nginx' : 'haproxy']}/ssl-redirect`]: 'false' },
      }),
  },
  {
    drivers: ['traefik'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) => world.own({ annotations: { [`${prefix.traefik}/router.tls`]: 'false' } }),
  },
  {
    drivers: ['aws-alb'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) =>
      world.own({ annotations: { 'alb.ingress.kubernetes.io/listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]' } }),
  },
  {
    drivers: ['contour'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) =>
      world.own({ spec: { routes: [{ permitInsecure: true, services: [{ name: 'api', port: 80 }] }] } }),
  },
  {
    drivers: ofGateways,
    hazard: 'a route on the listener of plain HTTP too',
    reason: 'PlainHTTP',
    change: (world) => world.own({ spec: { listeners: httpAndHttps() } }).behind(),
  },
  {
    drivers: ['nginx', 'haproxy'],
    hazard: 'TLS that ends at the backend',
    reason: 'TLSPassthrough',
    change: (world) =>
      world.own({
        annotations: { [`${prefix[world.driver.name === 'nginx' ? 'nginx' : 'haproxy']}/ssl-passthrough`]: 'true' },
      }),
  },
  {
    drivers: ['nginx'],
    hazard: 'a snippet about client certificates',
    reason: 'VerificationOverridden',
    change: (world) =>
      world.own({ annotations: { [`${prefix.nginx}/server-snippet`]: 'ssl_verify_client optional_no_ca;' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'options about client certificates',
    reason: 'VerificationOverridden',
    change: (world) => world.own({ annotations: { [`${prefix.haproxy}/ssl-options-host`]: 'verify none' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'other names of the host',
    reason: 'HostAlias',
    change: (world) => world.own({ annotations: { [`${prefix.haproxy}/server-alias`]: 'www.example.test' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'sessions that are resumed on other hosts',
    reason: 'TerminatorNotPrepared',
    change: (world) => world.class(),
  },
  {
    drivers: ['aws-alb'],
    hazard: 'a trust store with other contents',
    reason: 'TrustStoreOutdated',
    change: (world) => world.own({ annotations: { [TRUST_STORE_SHA256]: '0'.repeat(64) } }),
  },
  {
    drivers: ['gateway-api'],
    hazard: 'a port with validation of its own',
    reason: 'VerificationOverridden',
    change: (world) => world.own({ spec: { tls: { frontend: { perPort: [{ port: 443, tls: {} }] } } } }),
  },
  {
    drivers: ['gateway-api', 'aws-alb'],
    hazard: 'a mode that the product does not know',
    reason: 'ModeUnsupported',
    change: (world) => world.own({ clientCertificates: 'optional' }),
  },
  {
    drivers: ['manual'],
    hazard: 'nobody has shown that it verifies',
    reason: 'TerminatorNotProved',
    change: (world) => world.memory.proofs.forget(world.scope.controller, world.scope.host),
  },
];
