/** Secrets that others made, and two clients that want one: nobody's Secret is overwritten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OWNER, OWNER_UID, ROLE_LABEL, Role } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import { type KubernetesObject, secrets } from '../../../src/kube/resource.ts';
import { opaqueSecret } from '../../support/cluster-objects.ts';
import { waitFor } from '../../support/wait-for.ts';
import { GENEROUS_MS, TEAM, type World } from './world.ts';

const secretOf = (name: string) => ({ namespace: TEAM, name: `${name}-oauth` });

export function secretTests(world: () => World): void {
  const create = (secret: KubernetesObject) => world().kube.create(secrets, secret);
  const untouched = async (secret: KubernetesObject) =>
    assert.deepEqual(await world().kube.get(secrets, { namespace: TEAM, name: secret.metadata.name }), secret);

  const foreign: [string, (name: string) => KubernetesObject][] = [
    ['opaque', (name) => opaqueSecret(secretOf(name), { 'tls.key': 'not yours', password: 'theirs' })],
    ['tls', (name) => opaqueSecret(secretOf(name), { 'tls.key': 'k', 'tls.crt': 'c' }, 'kubernetes.io/tls')],
    [
      'empty',
      (name) => ({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: secretOf(name),
        type: 'kubernetes.io/tls',
        data: { 'tls.crt': '', 'tls.key': '' },
      }),
    ],
    [
      'marked-for-another',
      (name) => ({
        ...opaqueSecret(secretOf(name), { 'tls.key': 'k', 'tls.crt': 'c' }, 'kubernetes.io/tls'),
        metadata: {
          ...secretOf(name),
          labels: { [ROLE_LABEL]: Role.published },
          annotations: { [OWNER]: `${TEAM}/${name}`, [OWNER_UID]: '00000000-0000-0000-0000-000000000000' },
        },
      }),
    ],
  ];
  for (const [kind, made] of foreign) {
    test(`a foreign Secret under our name: ${kind}`, async () => {
      const subject = { name: `foreign-${kind}` };
      const secret = await create(made(subject.name));
      await world().server(subject.name);
      await world().client(subject);
      const { message } = await world().becomes(subject, 'False', 'SecretNameTaken');
      assert.match(
        message,
        /exists and was not made for this client; it is left as it is\. Delete or rename it, or create an OAuthClient with another secret\.name/,
      );
      assert.equal((await world().condition(subject, 'CertificateReady'))?.reason, 'SecretNameTaken');
      await world().nothingWritten(subject, 'foreign');
      await untouched(secret);
      await world().kube.delete(secrets, secretOf(subject.name));
      await world().recovers(subject);
    });
  }

  test('a Secret made by hand while the client was denied', async () => {
    const subject = { name: 'made-meanwhile' };
    await world().server(subject.name);
    await world().client(subject, { scope: 'admin' });
    await world().becomes(subject, 'False', 'NotGranted');
    const secret = await create(opaqueSecret(secretOf(subject.name), { password: 'theirs' }));
    await world().client(subject, { scope: 'accounts:read' });
    await world().becomes(subject, 'False', 'SecretNameTaken');
    await world().nothingWritten(subject, 'foreign');
    await untouched(secret);
  });

  test('two clients with one Secret name: the older has it, then the other', async () => {
    const [older, younger] = [{ name: 'one-secret-older' }, { name: 'one-secret-younger' }];
    const secret = { name: 'one-secret' };
    for (const { name } of [older, younger]) await world().server(name);
    await world().client(older, { secret });
    await world().ready(older);
    await world().client(younger, { secret });
    const { message } = await world().becomes(younger, 'False', 'SecretNameTaken');
    assert.match(message, /Secret "one-secret" (belongs to OAuthClient "one-secret-older"|exists and was not made)/);
    await world().nothingWritten(younger);
    const read = () => world().kube.get(secrets, { namespace: TEAM, name: secret.name });
    const before = await read();
    assert.equal(before?.metadata.annotations?.[OWNER], `${TEAM}/${older.name}`);
    assert.equal((await world().condition(older))?.status, 'True');
    await world().kube.delete(oauthClients, { namespace: TEAM, name: older.name });
    await waitFor(async () => (await world().status(older)) === undefined, GENEROUS_MS);
    await world().ready(younger);
    assert.equal(world().registrations(younger).length, 1);
    assert.deepEqual(world().registrations(older), []);
    assert.equal((await read())?.metadata.annotations?.[OWNER], `${TEAM}/${younger.name}`);
  });

  test('two clients with one Secret name, applied together: one is ready, the other says why', async () => {
    const pair = [{ name: 'together-one' }, { name: 'together-two' }];
    for (const { name } of pair) await world().server(name);
    await Promise.all(pair.map((subject) => world().client(subject, { secret: { name: 'together' } })));
    const reasons = async () => Promise.all(pair.map(async (s) => (await world().condition(s))?.reason ?? ''));
    const settled = async () => (await reasons()).toSorted().join(' ') === 'Ready SecretNameTaken';
    await waitFor(settled, GENEROUS_MS).catch(async (cause: unknown) => {
      const statuses = await Promise.all(pair.map((subject) => world().status(subject)));
      throw new Error(JSON.stringify(statuses, undefined, 1), { cause });
    });
    const [loser] = (await reasons())
      .map((reason, i) => (reason === 'Ready' ? undefined : pair[i]))
      .filter((s) => s !== undefined);
    assert.ok(loser !== undefined);
    await world().nothingWritten(loser);
  });
}
