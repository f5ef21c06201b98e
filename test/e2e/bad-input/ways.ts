/** Ways to a server that are wrong or change: CAs that are elsewhere, a proxy in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorizationServer } from '../../../src/api/authorization-server.ts';
import { authorizationServers } from '../../../src/api/resources.ts';
import { configMaps, secrets } from '../../../src/kube/resource.ts';
import { secretValues } from '../../support/application.ts';
import { opaqueSecret } from '../../support/cluster-objects.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type Subject, SYSTEM, type World } from './world.ts';

export function wayTests(world: () => World): void {
  const kube = () => world().kube;
  const published = async (subject: Subject) => {
    const secret = await world().secret(subject);
    return secret === undefined ? undefined : secretValues(secret)['ca.crt'];
  };
  const follows = (subject: Subject, ca: string) =>
    waitFor(async () => (await published(subject)) === ca, 120_000).catch(async (cause: unknown) => {
      throw new Error(`ca.crt is ${(await published(subject))?.length} characters of something else`, { cause });
    });

  for (const kind of ['ConfigMap', 'Secret'] as const) {
    test(`CAs in a ${kind} that is missing, there, replaced and deleted`, async () => {
      const subject = { name: `cas-in-${kind.toLowerCase()}` };
      const front = await world().front();
      const caBundleRef = { kind, name: subject.name, key: 'ca.crt' };
      await world().server(subject.name, { ...world().at(front), caBundle: undefined, caBundleRef });
      await world().client(subject);
      const { message } = await world().serverBecomes(subject.name, 'False', 'CABundleMissing');
      assert.match(message, new RegExp(`no key "ca\\.crt" in ${kind} "${subject.name}" in the operator's namespace`));
      await world().nothingWritten(subject);
      assert.equal(front.server.requests().size, 0, 'nothing is asked of a server that cannot be authenticated');

      const { certPem } = world().installation.serverCa;
      const where = { namespace: SYSTEM, name: subject.name };
      const put = async (ca: string) => {
        const resource = kind === 'Secret' ? secrets : configMaps;
        await kube()
          .delete(resource, where)
          .catch(() => undefined);
        if (kind === 'Secret') await kube().create(secrets, opaqueSecret(where, { 'ca.crt': ca }));
        else await kube().create(configMaps, { metadata: where, data: { 'ca.crt': ca } });
      };
      await put(certPem);
      await world().recovers(subject);
      await follows(subject, certPem);

      const both = certPem + (await createThrowawayCa('The next CA')).certPem;
      await put(both);
      await follows(subject, both);
      await put('garbage');
      const invalid = await world().serverBecomes(subject.name, 'False', 'CABundleInvalid');
      assert.match(invalid.message, /cannot be used\. .* What was read before stays in use meanwhile\.$/);
      await world().ready(subject);
      assert.equal(await published(subject), both);
      await put(certPem);
      await world().serverBecomes(subject.name, 'True', 'Ready');
      await follows(subject, certPem);
    });
  }

  test('a proxy that wants other credentials, and then has them', async () => {
    const subject = { name: 'behind-a-proxy' };
    const front = await world().front();
    const credentials = { username: 'operator', password: 'the-proxy-password' };
    const tls = await world().installation.serverCa.issue({ cn: 'localhost', dns: ['localhost'] });
    const proxy = await startConnectProxy({
      tls,
      credentials,
      resolve: (host) => host.replace('localhost', '127.0.0.1'),
    });
    try {
      const secret = { namespace: SYSTEM, name: subject.name };
      await world().server(subject.name, {
        ...world().at(front),
        proxyURL: `https://localhost:${proxy.port}`,
        proxyCredentialsSecretRef: { name: subject.name },
      });
      await world().client(subject);
      const missing = await world().serverBecomes(subject.name, 'False', 'CredentialMissing');
      assert.match(missing.message, /no keys "username" and "password" in Secret "behind-a-proxy"/);
      await kube().create(
        secrets,
        opaqueSecret(secret, { ...credentials, password: 'not-that-one' }, 'kubernetes.io/basic-auth'),
      );
      const refused = /the proxy localhost:\d+ wants credentials, or others \(407\)/;
      await world().serverBecomes(subject.name, 'False', 'ServerUnavailable', refused);
      assert.ok(
        !JSON.stringify(await kube().get(authorizationServers, { name: subject.name })).includes('not-that-one'),
      );
      await world().nothingWritten(subject);

      await kube().delete(secrets, secret);
      await kube().create(secrets, opaqueSecret(secret, credentials, 'kubernetes.io/basic-auth'));
      await world().recovers(subject);
      const { status } = authorizationServer.parse(await kube().get(authorizationServers, { name: subject.name }));
      const hosts = [status?.endpoints?.tokenEndpoint, status?.endpoints?.registrationEndpoint].map(
        (url) => new URL(url ?? '').port,
      );
      const reached = new Set(
        proxy.asked.filter((target) => !target.endsWith(' 407')).map((target) => target.split(':').at(-1)),
      );
      assert.deepEqual(reached, new Set(hosts), 'registered and proved through the proxy');
    } finally {
      await proxy.stop();
    }
  });
}
