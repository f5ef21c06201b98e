import { customResourceDefinitions, type KubernetesObject, type Resource } from '../../src/kube/resource.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { waitFor } from './wait-for.ts';

/** A kind of others by its name alone, with any `spec` and `status`: as a cluster has it in which none of its controllers runs. */
export async function defineSkeleton(kube: KubeClient, resource: Resource): Promise<void> {
  const { group, version, plural, kind, namespaced } = resource;
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const definition: KubernetesObject = {
    metadata: {
      name: `${plural}.${group}`,
      // Groups of *.k8s.io want a word about who has approved them.
      annotations: { 'api-approved.kubernetes.io': 'unapproved, of a test' },
    },
    spec: {
      group,
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec: open, status: open } } },
        },
      ],
    },
  };
  await kube.create(customResourceDefinitions, definition);
  await waitFor(() =>
    kube.list(resource).then(
      () => true,
      () => false,
    ),
  );
}
