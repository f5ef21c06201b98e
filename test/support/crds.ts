import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { KubeClient } from '../../src/kube/client.ts';
import { customResourceDefinitions, isKubernetesObject, type KubernetesObject } from '../../src/kube/resource.ts';

const DIRECTORY = join(import.meta.dirname, '../../crds');
const ESTABLISHED_MS = 60_000;

/** Creates or updates the CRDs of `crds/`; returns once the API server serves them all. */
export async function applyCrds(kubeconfigPath: string): Promise<void> {
  const client = KubeClient.fromKubeconfig({
    path: kubeconfigPath,
    userAgent: 'certbound-test',
    fieldManager: 'certbound-test',
  });
  try {
    const files = (await readdir(DIRECTORY)).filter((file) => file.endsWith('.yaml'));
    const definitions = await Promise.all(files.map((file) => readDefinition(join(DIRECTORY, file))));
    for (const definition of definitions) {
      await client.apply(customResourceDefinitions, definition, { fieldManager: 'certbound-test', force: true });
    }
    const signal = AbortSignal.timeout(ESTABLISHED_MS);
    for (const { metadata } of definitions) {
      while (!isEstablished(await client.get(customResourceDefinitions, { name: metadata.name }, { signal }))) {
        await sleep(20, undefined, { signal });
      }
    }
  } finally {
    await client.close();
  }
}

async function readDefinition(path: string): Promise<KubernetesObject> {
  const object: unknown = parse(await readFile(path, 'utf8'));
  if (!isKubernetesObject(object)) throw new Error(`${path} is no Kubernetes object`);
  return object;
}

export function isEstablished(definition: KubernetesObject | undefined): boolean {
  const status: unknown = definition?.['status'];
  if (typeof status !== 'object' || status === null || !('conditions' in status)) return false;
  const { conditions } = status;
  return (
    Array.isArray(conditions) &&
    conditions.some((c: { type?: string; status?: string }) => c.type === 'Established' && c.status === 'True')
  );
}
