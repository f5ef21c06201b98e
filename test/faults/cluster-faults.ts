/** What the cluster itself does not let the operator do for a while. */
import { KubeError } from '../../src/kube/client.ts';
import { secrets, type KubernetesObject, type Resource } from '../../src/kube/resource.ts';
import { apply, opaqueSecret, resourceOf } from '../support/cluster-objects.ts';
import { operatorRights } from '../support/operator-rights.ts';
import { waitFor } from '../support/wait-for.ts';
import type { FaultCase } from './fault-case.ts';
import { NAMESPACE, type FaultWorld } from './world.ts';

const AREA = 'Permissions';
const lastsMs = 10_000;

const quotas: Resource = {
  group: '',
  version: 'v1',
  plural: 'resourcequotas',
  kind: 'ResourceQuota',
  namespaced: true,
};

/** Whether a Secret of that name can be made in the clients' namespace. */
async function creatable({ installation: { kube } }: FaultWorld, name: string): Promise<boolean> {
  const ref = { namespace: NAMESPACE, name };
  try {
    await kube.create(secrets, opaqueSecret(ref, {}));
    await kube.delete(secrets, ref);
    return true;
  } catch (error) {
    if (error instanceof KubeError && (error.status === 403 || error.status === 422)) return false;
    throw error;
  }
}

const PROBE = 'probe';
const POLICY = 'no-secrets';

function denying(): KubernetesObject[] {
  const apiVersion = 'admissionregistration.k8s.io/v1';
  const metadata = { name: POLICY };
  return [
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec: {
        matchConstraints: {
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': NAMESPACE } },
          resourceRules: [
            { apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'], operations: ['CREATE', 'UPDATE'] },
          ],
        },
        // Whoever damages a Secret is an admin.
        validations: [
          {
            expression: `'system:masters' in request.userInfo.groups && object.metadata.name != '${PROBE}'`,
            message: 'not today',
          },
        ],
      },
    },
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: { policyName: POLICY, validationActions: ['Deny'] },
    },
  ];
}

export const clusterFaults: readonly FaultCase[] = [
  {
    name: 'rights',
    area: AREA,
    fault: 'the operator’s role bindings are deleted, and are back after 10 s',
    outcome: 'every call is answered 403; tries again, ever more slowly',
    lastsMs,
    async begin({ installation: { kube } }) {
      const bindings = (await operatorRights([])).filter(({ kind = '' }) => kind.endsWith('RoleBinding'));
      for (const binding of bindings) await kube.delete(resourceOf(binding), binding.metadata);
      return async () => void (await apply(kube, ...bindings));
    },
  },
  {
    name: 'quota',
    area: AREA,
    fault: 'a ResourceQuota allows no more Secrets in the clients’ namespace, for 10 s',
    outcome: 'what exists is kept up; what has to be made is tried again, ever more slowly',
    lastsMs,
    async begin(world) {
      const { kube } = world.installation;
      const ref = { namespace: NAMESPACE, name: 'no-more-secrets' };
      const hard = { 'count/secrets': '0' };
      // Nobody counts here, so that what is used is written by hand.
      const quota = await kube.create(quotas, { metadata: ref, spec: { hard } });
      await kube.updateStatus(quotas, { ...quota, status: { hard, used: { 'count/secrets': '5' } } });
      await waitFor(async () => !(await creatable(world, PROBE)), 60_000);
      return () => kube.delete(quotas, ref);
    },
  },
  {
    name: 'admission',
    area: AREA,
    fault: 'an admission policy denies the operator to write Secrets in the clients’ namespace, for 10 s',
    outcome: 'the same; what is published stays as it is',
    lastsMs,
    async begin(world) {
      const { kube } = world.installation;
      const policy = denying();
      await apply(kube, ...policy);
      await waitFor(async () => !(await creatable(world, PROBE)), 60_000);
      return async () => {
        for (const object of policy.toReversed()) await kube.delete(resourceOf(object), object.metadata);
        await waitFor(() => creatable(world, PROBE), 60_000);
      };
    },
  },
];
