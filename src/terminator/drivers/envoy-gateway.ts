import { createHash } from 'node:crypto';
import type { Resource } from '../../kube/resource.ts';
import type { ClientCertificates, Companion, Rendering, TerminatorDriver } from '../driver.ts';
import { frontendBundle, frontendValidation, ownedKeys } from './gateway-api.ts';
import { isBelow } from '../version.ts';

export const clientTrafficPolicies: Resource = {
  group: 'gateway.envoyproxy.io',
  version: 'v1alpha1',
  plural: 'clienttrafficpolicies',
  kind: 'ClientTrafficPolicy',
  namespaced: true,
};

const validationMode: Readonly<Record<ClientCertificates, string>> = {
  required: 'RequireAndVerify',
  optional: 'VerifyIfGiven',
  request: 'Request',
};

/** The same for the same Gateway, and no other Gateway's. */
function policyName({ namespace, name }: Rendering['frontend']): string {
  return `certbound-${createHash('sha256').update(`Gateway ${namespace}/${name}`).digest('hex').slice(0, 16)}`;
}

/**
 * Both say whom to trust, and the policy wins where it is in effect: it knows the modes that `tls.frontend` has not, and it is
 * for all listeners, `perPort` or not. Where it is not (another policy of the same Gateway is older), Envoy verifies
 * strictly and forwards nothing: never less.
 */
function policy({ bundle, frontend, mode }: Rendering): Companion {
  const { namespace, name } = frontend;
  return {
    resource: clientTrafficPolicies,
    name: policyName({ ...frontend, namespace, name }),
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name }],
      headers: { xForwardedClientCert: { mode: 'SanitizeSet', certDetailsToAdd: ['Cert'] } },
      tls: {
        clientValidation: {
          mode: validationMode[mode],
          caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: bundle.name }],
        },
      },
    },
  };
}

/** Envoy Gateway 1.8 and later: those before read neither `tls.frontend` nor `clientValidation.mode`. */
export const envoyGateway: TerminatorDriver = {
  name: 'envoy-gateway',
  frontend: 'Gateway',
  capabilities: {
    scope: 'listener',
    optional: true,
    request: true,
    crl: true,
    forwards: true,
    // SANITIZE is what Envoy Gateway configures where no policy says otherwise.
    strips: 'always',
    header: 'envoy',
  },
  bundleKind: 'ConfigMap',
  ownedKeys,
  watchedKeys: [],
  companionKinds: [clientTrafficPolicies],

  detect: (controller) => controller === 'gateway.envoyproxy.io/gatewayclass-controller',
  tooOld: (version) => (isBelow(version, '1.8') ? 'Envoy Gateway 1.8' : undefined),
  render: (rendering) => ({ settings: frontendValidation(rendering), companions: [policy(rendering)] }),
  overwritesHeaders: () => true,
  // Whatever perPort says, the policy holds on every listener; where it is not in effect, CompanionRejected is said.
  hazard: () => undefined,
  bundleOf: frontendBundle,
};
