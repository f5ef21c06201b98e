/** charts/certbound as Helm renders it. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import type { KubeClient } from '../../src/kube/client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { binary } from './binaries.ts';
import { apply, objectsOf } from './cluster-objects.ts';
import { isRight, SERVED_PLACEHOLDER, type RightsMode } from './operator-rights.ts';

export const CHART = resolve(import.meta.dirname, '../../charts/certbound');
export const RELEASE = { name: 'certbound', namespace: 'certbound-system' };
const HELM_MS = 60_000;

export type Values = Record<string, unknown>;

/** What it was when helm ended with 0; else its words on stderr. */
type Answer = { ok: true; text: string } | { ok: false; text: string };

/** Runs helm with nothing of this machine: no repositories, no plugins, no cluster. */
export async function helm(args: readonly string[], stdin = ''): Promise<Answer> {
  const command = await binary('helm');
  const home = await mkdtemp(join(tmpdir(), 'certbound-helm-'));
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    HELM_CACHE_HOME: home,
    HELM_CONFIG_HOME: home,
    HELM_DATA_HOME: home,
    KUBECONFIG: join(home, 'no-kubeconfig'),
  };
  try {
    return await new Promise((done) => {
      const options = { env, timeout: HELM_MS, maxBuffer: 16 * 1024 * 1024 };
      const child = execFile(command, args, options, (error, stdout, stderr) =>
        done(error === null ? { ok: true, text: stdout } : { ok: false, text: stderr || error.message }),
      );
      child.stdin?.end(stdin);
    });
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** `helm template` of the chart with these values. */
export function template(values: Values, ...flags: readonly string[]): Promise<Answer> {
  const args = ['template', RELEASE.name, CHART, '--namespace', RELEASE.namespace, '--values', '-', ...flags];
  return helm(args, stringify(values));
}

/** The objects of the chart with these values. @throws where helm refuses them */
export async function rendered(values: Values): Promise<KubernetesObject[]> {
  const { ok, text } = await template(values);
  if (!ok) throw new Error(`helm template: ${text}`);
  return objectsOf(text, 'the chart');
}

/** What the operator needs for some drivers of terminators, besides what `grantOperatorRights` gave. */
export async function grantTerminatorRights(kube: KubeClient, drivers: readonly string[]): Promise<void> {
  const objects = await rendered({ clusterId: 'test', terminators: { enabled: drivers } });
  await apply(kube, ...objects.filter(isRight));
}

/** What the file of rights must hold: see operator-rights.ts. */
export async function renderedRights(mode: RightsMode): Promise<string> {
  const scope = mode === 'scoped' ? { namespaces: [SERVED_PLACEHOLDER] } : {};
  // Labels tell of versions and grant nothing.
  const rights = (await rendered({ clusterId: 'test', scope })).filter(isRight).map((object) => {
    const { labels: _, ...metadata } = object.metadata;
    return { ...object, metadata };
  });
  const head = '# Generated from charts/certbound by `node hack/generate-rights.ts`.\n';
  return (
    head + rights.map((object) => stringify(object, { lineWidth: 120, aliasDuplicateObjects: false })).join('---\n')
  );
}
