/** What the chart renders, before a real API server and kubeconform. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { z } from 'zod';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { binary } from '../support/binaries.ts';
import { rendered, RELEASE } from '../support/chart.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { writeSchemas } from '../support/openapi-schemas.ts';
import { CLUSTER, variants } from './variants.ts';

describe('what the chart renders', () => {
  let plane: ControlPlane;
  let schemas: string;
  let all: [string, KubernetesObject[]][];

  const file = async (name: string, objects: readonly unknown[]): Promise<string> => {
    const path = join(plane.dir, `${name.replaceAll(' ', '-')}.yaml`);
    await writeFile(path, objects.map((object) => stringify(object)).join('---\n'));
    return path;
  };
  const kubeconform = async (path: string) => {
    const args = ['-strict', '-summary', '-output', 'json', '-schema-location', schemas, path];
    // It ends with 1 where something is invalid.
    const { stdout } = await promisify(execFile)(await binary('kubeconform'), args).catch((error: unknown) =>
      z.object({ stdout: z.string() }).parse(error),
    );
    const count = z.int();
    return z
      .object({
        resources: z.array(z.unknown()).default([]),
        summary: z.object({ valid: count, invalid: count, errors: count, skipped: count }),
      })
      .parse(JSON.parse(stdout));
  };

  before(async () => {
    all = await Promise.all(
      Object.entries(variants).map(async ([name, values]): Promise<[string, KubernetesObject[]]> => [
        name,
        await rendered({ ...CLUSTER, ...values }),
      ]),
    );
    plane = await startControlPlane();
    for (const name of [RELEASE.namespace, 'payments', 'accounts']) await plane.kubectl('create', 'namespace', name);
    const restricted = 'pod-security.kubernetes.io/enforce=restricted';
    await plane.kubectl('label', 'namespace', RELEASE.namespace, restricted);
    const versions = new Set(all.flatMap(([, objects]) => objects.map(({ apiVersion = '' }) => apiVersion)));
    schemas = await writeSchemas(plane, versions, join(plane.dir, 'schemas'));
  });
  after(() => plane?.stop());

  for (const name of Object.keys(variants)) {
    const objects = () => all.find(([variant]) => variant === name)?.[1] ?? [];

    it(`is accepted by the API server, strictly: ${name}`, async () => {
      const path = await file(name, objects());
      const args = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--filename', path];
      const { code, stdout, stderr } = await plane.kubectl(...args);
      assert.equal(code, 0, stderr);
      assert.equal(stdout.trim().split('\n').length, objects().length, stdout);
      assert.equal(stderr, '', 'no warning either');
    });

    it(`conforms to the API's schemas: ${name}`, async () => {
      const { summary, resources } = await kubeconform(await file(name, objects()));
      const none = { invalid: 0, errors: 0, skipped: 0 };
      assert.deepEqual(summary, { valid: objects().length, ...none }, JSON.stringify(resources));
    });
  }

  it('would not conform with a field too many', async () => {
    const [deployment] = (all[0]?.[1] ?? []).filter(({ kind }) => kind === 'Deployment');
    const wrong = { ...deployment, spec: { ...Object(deployment?.['spec']), replica: 2 } };
    assert.equal((await kubeconform(await file('wrong', [wrong]))).summary.invalid, 1);
  });

  it('makes Pods that a restricted namespace takes', async () => {
    const objects = all.find(([variant]) => variant === 'defaults')?.[1] ?? [];
    const [account, deployment] = ['ServiceAccount', 'Deployment'].map((kind) => objects.find((o) => o.kind === kind));
    const created = await plane.kubectl('create', '--filename', await file('account', [account]));
    assert.equal(created.code, 0, created.stderr);
    const { spec } = z
      .object({ spec: z.object({ template: z.object({ spec: z.looseObject({}) }) }) })
      .parse(deployment);
    const podOf = (change: Record<string, unknown>) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'operator', namespace: RELEASE.namespace },
      spec: { ...spec.template.spec, ...change },
    });
    const create = async (name: string, pod: unknown) =>
      plane.kubectl('create', '--dry-run=server', '--filename', await file(name, [pod]));
    const { code, stderr } = await create('pod', podOf({}));
    assert.equal(code, 0, stderr);
    const rooted = await create('rooted', podOf({ securityContext: {} }));
    assert.match(rooted.stderr, /violates PodSecurity "restricted/);
  });
});
