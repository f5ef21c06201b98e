/** examples/policies/hosts.yaml on a real API server: which hosts a namespace may use. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { before, describe, test } from 'node:test';
import type { KubeClient } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { gateways, httpProxies, httpRoutes, ingresses, namespaces, type Resource } from '../../src/kube/resource.ts';
import { apply, documents, ingress, namespace } from '../support/cluster-objects.ts';
import { defineSkeleton } from '../support/skeleton-definition.ts';
import { waitFor } from '../support/wait-for.ts';

const POLICY = resolve(import.meta.dirname, '../../examples/policies/hosts.yaml');
const TEAM = 'host-team';

export function hostPolicyCases(client: () => KubeClient): void {
  describe('the policy of hosts', () => {
    let kube: KubeClient;
    let count = 0;
    const old = { namespace: TEAM, name: 'old' };
    const create = (kind: Resource, spec: unknown, annotations: Record<string, string> = {}) =>
      kube.create(kind, { metadata: { namespace: TEAM, name: `host-${++count}`, annotations }, spec });
    const ofHost = (host: string | undefined): Record<string, unknown> => {
      const spec = Object(ingress(old, host ?? '', 'api')['spec']);
      const [{ http }] = spec.rules;
      return { rules: [{ ...(host !== undefined && { host }), http }] };
    };
    const route = (...hostnames: string[]) => create(httpRoutes, hostnames.length === 0 ? {} : { hostnames });
    const listeners = (...hostnames: (string | undefined)[]) =>
      create(gateways, { listeners: hostnames.map((hostname) => ({ ...(hostname !== undefined && { hostname }) })) });
    const proxy = (fqdn: string) => create(httpProxies, { virtualhost: { fqdn } });
    async function refused(write: Promise<unknown>, words: RegExp): Promise<void> {
      await assert.rejects(write, (error: unknown) => {
        assert.ok(error instanceof KubeError && error.status === 403, String(error));
        assert.match(error.message, words);
        return true;
      });
    }

    before(async () => {
      kube = client();
      // Whatever is in them: what Contour and the Gateway API would refuse is not asked here.
      for (const kind of [httpProxies, httpRoutes, gateways]) await defineSkeleton(kube, kind);
      await apply(kube, namespace(TEAM), ingress(old, 'of-before.example.test', 'api'), ...(await documents(POLICY)));
      await waitFor(async () => {
        const made = await create(ingresses, ofHost('mtls.as.example.test')).catch(() => undefined);
        return made === undefined;
      }, 60_000);
      const annotations = { 'hosts.example.com/allowed': 'api.example.test, *.team.example.test' };
      await kube.patch(namespaces, { name: TEAM }, { metadata: { annotations } }, { type: 'merge' });
      // The API server hears of it a moment later.
      await waitFor(
        () =>
          create(ingresses, ofHost('api.example.test')).then(
            () => true,
            () => false,
          ),
        60_000,
      );
    });

    test('lets a namespace use what the platform has written on it, and what is below a wildcard', async () => {
      for (const host of ['api.example.test', 'a.team.example.test', 'a.b.team.example.test', '*.team.example.test'])
        await create(ingresses, ofHost(host));
      await proxy('a.team.example.test');
      await listeners('api.example.test', '*.a.team.example.test');
      await route('api.example.test');
      await route();
      await create(httpProxies, { routes: [] });
    });

    test('refuses all others, each kind, and who names none', async () => {
      const words = /Namespace host-team may not use mtls\.as\.example\.test: ask the platform team/;
      const theirs = 'mtls.as.example.test';
      await refused(create(ingresses, ofHost(theirs)), words);
      await refused(proxy(theirs), words);
      await refused(listeners('api.example.test', theirs), words);
      await refused(route('api.example.test', theirs), words);
      for (const host of ['team.example.test', 'xteam.example.test', '*.example.test', 'api.example.test.evil.test'])
        await refused(create(ingresses, ofHost(host)), /may not use/);
      const backend = { service: { name: 'api', port: { number: 80 } } };
      const nameless = [
        () => create(ingresses, ofHost(undefined)),
        () => create(ingresses, { defaultBackend: backend }),
        () => listeners(undefined),
      ];
      for (const write of nameless) await refused(write(), /may not use the default host/);
    });

    test('refuses other names by annotation', async () => {
      for (const key of ['nginx.ingress.kubernetes.io/server-alias', 'haproxy-ingress.github.io/server-alias-regex']) {
        const aliased = create(ingresses, ofHost('api.example.test'), { [key]: 'mtls.as.example.test' });
        await refused(aliased, new RegExp(`a rule of its own instead of ${key}`));
      }
    });

    test('leaves what is there already, until its hosts are changed: the operator still annotates it', async () => {
      const patch = (change: Record<string, unknown>) => kube.patch(ingresses, old, change, { type: 'merge' });
      await patch({ metadata: { annotations: { 'nginx.ingress.kubernetes.io/auth-tls-verify-client': 'on' } } });
      await refused(patch({ spec: ofHost('mtls.as.example.test') }), /may not use mtls/);
      await patch({ spec: ofHost('api.example.test') });
    });
  });
}
