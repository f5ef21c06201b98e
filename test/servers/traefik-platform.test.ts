/** What docs/terminators.md asks of the platform at Traefik: what happens without it, and with it. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { SAFE_NAMING } from '../../src/api/annotations.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, ingresses, type KubernetesObject, secrets } from '../../src/kube/resource.ts';
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { tlsOptions, traefik } from '../../src/terminator/drivers/traefik.ts';
import type { ClientCertificates, TerminatorDriver } from '../../src/terminator/driver.ts';
import { apply, ingress as ingressOf, namespace, opaqueSecret } from '../support/cluster-objects.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { call } from '../support/https-call.ts';
import { listen, type Listening } from '../support/listen.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import {
  applyTraefikCrds,
  startTraefik,
  type Traefik,
  type TraefikProvider,
  byPortName,
  externalService,
  traefikSettled,
} from '../support/traefik.ts';
import { waitFor } from '../support/wait-for.ts';

const NAME = 'certbound-trust-0123456789abcdef';
const CERTIFICATE = 'x-forwarded-tls-client-cert';
const TRUSTING = '--entryPoints.websecure.forwardedHeaders.trustedIPs=127.0.0.1/32';
const className = { kubernetesIngress: 'traefik', kubernetesIngressNGINX: 'nginx' } as const;

const ingress = (...args: Parameters<typeof ingressOf>): KubernetesObject => byPortName(ingressOf(...args));

describe('Traefik, as the platform sets it', () => {
  let plane: ControlPlane;
  let kube: KubeClient;
  let serverCa: ThrowawayCa;
  let clientCa: ThrowawayCa;
  let client: KeyPairPem;
  let backend: Listening;
  const running: Traefik[] = [];

  before(async () => {
    serverCa = await createThrowawayCa('Server CA');
    clientCa = await createThrowawayCa('Client CA');
    client = await clientCa.issue({ cn: 'client', clientAuth: true });
    backend = await listen(createServer((request, response) => response.end(JSON.stringify(request.headersDistinct))));
    plane = await startControlPlane();
    kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    await applyTraefikCrds(kube);
    for (const [name, controller] of [
      ['traefik', 'traefik.io/ingress-controller'],
      ['nginx', 'k8s.io/ingress-nginx'],
    ] as const) {
      const ingressClass = { apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name } };
      await apply(kube, { ...ingressClass, spec: { controller } });
    }
    for (const name of ['pay', 'pay-ments']) await team(name);
  });
  after(async () => {
    for (const each of running) await each.stop();
    await kube?.close();
    await plane?.stop();
    await backend?.stop();
  });

  async function team(name: string): Promise<void> {
    const dns = ['*.example.test', '*.wild.example.test'];
    const pair = await serverCa.issue({ cn: 'server', dns });
    const tls = { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem };
    await apply(
      kube,
      namespace(name),
      opaqueSecret({ namespace: name, name: 'tls' }, tls, 'kubernetes.io/tls'),
      externalService({ namespace: name, name: 'backend' }, backend.port),
    );
  }

  async function started(provider: TraefikProvider, ...flags: string[]): Promise<Traefik> {
    const ingressClass = className[provider];
    const traefikItself = await startTraefik({ kubeconfigPath: plane.kubeconfigPath, provider, ingressClass, flags });
    running.push(traefikItself);
    return traefikItself;
  }
  const settled = (of: Traefik, ingressClass = 'traefik') =>
    traefikSettled(of, kube, { namespace: 'pay', ingressClass });

  /** What the operator would write for a host that has opted in. */
  function optedIn(
    driver: TerminatorDriver,
    ref: { namespace: string; name: string },
    host: string,
    mode: ClientCertificates = 'required',
    classAnnotations: Record<string, string> = {},
  ): KubernetesObject[] {
    const bundle = { namespace: ref.namespace, name: NAME };
    const { settings, companions } = driver.render({
      bundle,
      frontend: { ...ref, settings: {} },
      mode,
      depth: 1,
      classAnnotations,
    });
    const objects = companions.map(({ resource, name, spec }) => ({
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      metadata: { namespace: ref.namespace, name },
      spec,
    }));
    const annotated = { ...ref, annotations: { ...settings } };
    const of = driver === nginx ? 'nginx' : 'traefik';
    return [opaqueSecret(bundle, { 'ca.crt': clientCa.certPem }), ...objects, ingress(annotated, host, 'backend', of)];
  }
  const open = (ref: { namespace: string; name: string }, host: string, of = 'traefik') =>
    ingress(ref, host, 'backend', of);

  interface Request {
    certificate?: KeyPairPem;
    headers?: Record<string, string>;
  }
  /** `TLS alert`, `closed` without one, a status, or with 200 the lines of a header that the backend got. */
  async function ask(
    { httpsPort }: Traefik,
    host: string,
    request: Request = {},
    header = CERTIFICATE,
  ): Promise<string> {
    const url = `https://${host}:${httpsPort}/`;
    try {
      const { status, json } = await call({ url, ca: serverCa.certPem, ...request });
      return status === 200 ? `200 ${JSON.stringify(json[header] ?? [])}` : String(status);
    } catch (error) {
      if (/before secure TLS connection/.test(String(error))) return 'closed';
      if (/alert|ECONNRESET|socket hang up/i.test(String(error))) return 'TLS alert';
      throw error;
    }
  }
  const bare = ({ certPem }: KeyPairPem) => certPem.replaceAll(/-----[^-]+-----|\n/g, '');

  it('a host that another Ingress serves too is asked nothing, unless strictTLSOptions: then it is not served', async () => {
    const [lax, strict] = [
      await started('kubernetesIngress'),
      await started('kubernetesIngress', '--core.strictTLSOptions=true'),
    ];
    const host = 'shared.example.test';
    await apply(kube, ...optedIn(traefik, { namespace: 'pay', name: 'shared' }, host));
    for (const each of [lax, strict]) {
      await settled(each);
      assert.equal(await ask(each, host), 'TLS alert');
      assert.equal(await ask(each, host, { certificate: client }), `200 ["${bare(client)}"]`);
    }
    const other = { namespace: 'pay-ments', name: 'other' };
    await apply(kube, open(other, host));
    for (const each of [lax, strict]) await settled(each);
    assert.match(await ask(lax, host), /^200 \[\]/);
    assert.match(await ask(lax, host, { headers: { [CERTIFICATE]: bare(client) } }), /^200 \[\]/);
    assert.equal(await ask(strict, host), '404');
    await kube.delete(ingresses, other);
  });

  it('a wildcard host is asked like any other', async () => {
    const each = await started('kubernetesIngress');
    await apply(kube, ...optedIn(traefik, { namespace: 'pay', name: 'wild' }, '*.wild.example.test'));
    await settled(each);
    assert.equal(await ask(each, 'any.wild.example.test'), 'TLS alert');
    assert.equal(await ask(each, 'any.wild.example.test', { certificate: client }), `200 ["${bare(client)}"]`);
  });

  it('a forged header is dropped, but for peers that the entry point trusts', async () => {
    const [as, trusting, rejecting] = [
      await started('kubernetesIngress'),
      await started('kubernetesIngress', TRUSTING),
      await started('kubernetesIngress', TRUSTING, '--entryPoints.websecure.http.underscoreHeadersStrategy=reject'),
    ];
    const host = 'open.example.test';
    await apply(kube, open({ namespace: 'pay', name: 'open' }, host));
    for (const each of [as, trusting, rejecting]) await settled(each);
    const forged = { [CERTIFICATE]: 'forged' };
    const alias = { x_forwarded_tls_client_cert: 'forged' };
    const aliased = (each: Traefik) => ask(each, host, { headers: alias }, 'x_forwarded_tls_client_cert');
    assert.equal(await ask(as, host, { headers: forged }), '200 []');
    assert.equal(await aliased(as), '200 []');
    assert.equal(await ask(trusting, host, { headers: forged }), '200 ["forged"]');
    assert.equal(await aliased(trusting), '200 ["forged"]');
    assert.equal(await aliased(rejecting), '400');
    // Where we blank it, nobody is believed, trusted or not.
    await apply(kube, ...optedIn(traefik, { namespace: 'pay', name: 'optional' }, 'optional.example.test', 'optional'));
    await settled(trusting);
    assert.equal(await ask(trusting, 'optional.example.test', { headers: forged }), '200 []');
    await apply(kube, ...optedIn(traefik, { namespace: 'pay', name: 'optional' }, 'optional.example.test'));
  });

  it('a TLSOption of another namespace takes the place of ours, unless safeNaming', async () => {
    const host = 'ments.example.test';
    const ref = { namespace: 'pay-ments', name: 'api' };
    const legacy = await started('kubernetesIngress');
    await apply(kube, ...optedIn(traefik, ref, host));
    await settled(legacy);
    assert.equal(await ask(legacy, host), 'TLS alert');
    const rival = { namespace: 'pay', name: `ments-${NAME}` };
    await kube.create(tlsOptions, { metadata: rival, spec: { clientAuth: { clientAuthType: 'NoClientCert' } } });
    await settled(legacy);
    const taken = await ask(legacy, host);
    await apply(kube, ...optedIn(traefik, ref, host, 'required', { [SAFE_NAMING]: 'true' }));
    const safe = await started('kubernetesIngress', '--providers.kubernetesCRD.safeNaming=true');
    const marker = { namespace: 'pay', name: 'marker' };
    await apply(kube, open(marker, 'marker.example.test'));
    await waitForRouter(safe, 'marker.example.test');
    assert.equal(await ask(safe, host), 'TLS alert');
    assert.equal(await ask(safe, host, { certificate: client }), `200 ["${bare(client)}"]`);
    await kube.delete(tlsOptions, rival);
    // Which of the two Traefik takes, it does not say.
    assert.ok(['TLS alert', '200 []'].includes(taken), taken);
  });

  it('without its bundle a host turns everybody away', async () => {
    const each = await started('kubernetesIngress');
    const host = 'missing.example.test';
    const driverNames = optedIn(traefik, { namespace: 'pay', name: 'missing' }, host);
    await apply(kube, ...driverNames);
    await settled(each);
    assert.equal(await ask(each, host, { certificate: client }), `200 ["${bare(client)}"]`);
    await kube.delete(secrets, { namespace: 'pay', name: NAME });
    await settled(each);
    // Traefik cannot make the TLSOption into a configuration, and ends every connection without one.
    assert.equal(await ask(each, host), 'closed');
    assert.equal(await ask(each, host, { certificate: client }), 'closed');
    await apply(kube, ...driverNames);
  });

  it('with the annotations of ingress-nginx: alike on a host is one answer, a stranger on it is none', async () => {
    const [lax, strict] = [
      await started('kubernetesIngressNGINX'),
      await started('kubernetesIngressNGINX', '--core.strictTLSOptions=true'),
    ];
    const host = 'nginx.example.test';
    const both = ['one', 'two'].flatMap((name) => optedIn(nginx, { namespace: 'pay', name }, host));
    await apply(kube, ...both);
    for (const each of [lax, strict]) {
      await settled(each, 'nginx');
      assert.equal(await ask(each, host), 'TLS alert');
      const got = await ask(each, host, { certificate: client }, 'ssl-client-verify');
      assert.equal(got, '200 ["SUCCESS"]');
    }
    await kube.delete(ingresses, { namespace: 'pay', name: 'two' });
    await apply(kube, open({ namespace: 'pay', name: 'stranger' }, host, 'nginx'));
    for (const each of [lax, strict]) await settled(each, 'nginx');
    assert.match(await ask(lax, host), /^200/);
    assert.equal(await ask(strict, host), '404');
  });

  it('a namespace outside of crossProviderNamespaces is not served at all', async () => {
    const flag = '--providers.kubernetesIngress.crossProviderNamespaces=pay';
    const each = await started('kubernetesIngress', flag);
    await settled(each);
    assert.equal(await ask(each, 'ments.example.test', { certificate: client }), '404');
    assert.equal(await ask(each, 'shared.example.test', { certificate: client }), `200 ["${bare(client)}"]`);
  });

  async function waitForRouter(of: Traefik, host: string): Promise<void> {
    await waitFor(async () =>
      (await of.routers()).some(({ rule, status }) => rule.includes(host) && status === 'enabled'),
    );
  }
});
