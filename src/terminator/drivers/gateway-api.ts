import { z } from 'zod';
import type { Hazard, Rendering, Settings, TerminatorDriver } from '../driver.ts';
import { canonicalJson } from '../frontends/settings.ts';
import { isBelow } from '../version.ts';

const validation = 'spec.tls.frontend.default.validation';
const CA_CERTIFICATE_REFS = `${validation}.caCertificateRefs`;
const MODE = `${validation}.mode`;
const PER_PORT = 'spec.tls.frontend.perPort';

export const ownedKeys: readonly string[] = [CA_CERTIFICATE_REFS, MODE];
/** Ports with an HTTPS listener, as a list. */
const HTTPS_PORTS = 'spec.listeners.httpsPorts';

/**
 * Those whose conformance reports for Gateway API 1.5 or 1.6 say that they verify by `tls.frontend`
 * (GatewayFrontendClientCertificateValidation). Others take the field and do nothing: Istio 1.30, Traefik 3.7, Cilium 1.20,
 * Kong, AWS, haproxy-ingress say so in theirs.
 */
const verifying: ReadonlySet<string> = new Set([
  'agentgateway.dev/agentgateway',
  'gateway.nginx.org/nginx-gateway-controller',
  'kgateway.dev/kgateway',
  'microgateway.airlock.com/gatewayclass-controller',
  'networking.gke.io/gateway',
]);

const oldest: Readonly<Record<string, { product: string; minimum: string }>> = {
  'gateway.nginx.org/nginx-gateway-controller': { product: 'NGINX Gateway Fabric', minimum: '2.6' },
  'kgateway.dev/kgateway': { product: 'kgateway', minimum: '2.3' },
};

const caCertificateRefs = z.array(z.object({ kind: z.string(), name: z.string(), namespace: z.string().default('') }));

/**
 * Always AllowValidOnly. AllowInsecureFallback takes every certificate, also a wrong one (a client that forges one gets as
 * far as one that has none), and there is no third mode.
 */
export function frontendValidation({ bundle }: Pick<Rendering, 'bundle'>): Settings {
  const ref = { group: '', kind: 'ConfigMap', namespace: bundle.namespace, name: bundle.name };
  return { [CA_CERTIFICATE_REFS]: canonicalJson([ref]), [MODE]: canonicalJson('AllowValidOnly') };
}

export function frontendBundle(settings: Settings): { namespace: string; name: string } | undefined {
  const refs = caCertificateRefs.safeParse(JSON.parse(settings[CA_CERTIFICATE_REFS] ?? '[]'));
  const [only, ...more] = refs.data ?? [];
  if (only?.kind !== 'ConfigMap' || more.length > 0) return undefined;
  return { namespace: only.namespace, name: only.name };
}

const portNumbers = z.array(z.number());
const ports = z.array(
  z.looseObject({
    port: z.number(),
    tls: z
      .looseObject({
        validation: z
          .looseObject({ caCertificateRefs: z.unknown(), mode: z.string().default('AllowValidOnly') })
          .optional(),
      })
      .optional(),
  }),
);

/** What is said for a port replaces the default there, also where it says nothing. */
function portHazard(settings: Settings): Hazard | undefined {
  const text = settings[PER_PORT];
  if (text === undefined) return undefined;
  const served = portNumbers.safeParse(JSON.parse(settings[HTTPS_PORTS] ?? '[]')).data ?? [];
  const overridden = ports.safeParse(JSON.parse(text)).data?.flatMap(({ port, tls }) => {
    const own = tls?.validation;
    const alike =
      own !== undefined &&
      canonicalJson(own.caCertificateRefs) === settings[CA_CERTIFICATE_REFS] &&
      canonicalJson(own.mode) === settings[MODE];
    return alike || !served.includes(port) ? [] : [port];
  });
  if (overridden?.length === 0) return undefined;
  const which = overridden === undefined ? 'its ports' : `port ${overridden.join(', ')}`;
  return {
    reason: 'VerificationOverridden',
    message: `${PER_PORT} decides for ${which} instead of ${validation}, which is the operator's, so that other CAs or nobody's certificates are asked for there: remove it, make it equal, or put those ports on a Gateway of their own.`,
  };
}

/**
 * Any product that verifies by Gateway API (GEP-91) and nothing more: no field of it passes the certificate on, nor takes
 * one that is not there. So it is for what needs no header, or gets one by the product's own means.
 */
export const gatewayApi: TerminatorDriver = {
  name: 'gateway-api',
  frontend: 'Gateway',
  capabilities: {
    scope: 'listener',
    optional: false,
    request: false,
    crl: false,
    forwards: false,
    strips: 'whereForwarded',
    header: '',
  },
  // The only kind that every implementation reads.
  bundleKind: 'ConfigMap',
  ownedKeys,
  watchedKeys: [PER_PORT, HTTPS_PORTS],
  companionKinds: [],

  detect: (controller) => verifying.has(controller),
  tooOld(version, controller) {
    const { product, minimum } = oldest[controller] ?? {};
    return minimum !== undefined && isBelow(version, minimum) ? `${product ?? ''} ${minimum}` : undefined;
  },
  render: (rendering) => ({ settings: frontendValidation(rendering), companions: [] }),
  // It passes none on: what counts is that nobody gets there without a certificate.
  overwritesHeaders: (settings) => frontendBundle(settings) !== undefined,
  hazard: portHazard,
  bundleOf: frontendBundle,
};
