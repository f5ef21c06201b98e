/** Where the platform wants to look itself before a client is registered a second time. */
import assert from 'node:assert/strict';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { boundTo, isTrue } from '../support/oauth-client.ts';
import type { ClientSubject } from './client-subject.ts';
import { killThere } from './crash.ts';
import type { CrashWorld } from './crash-world.ts';
import { report } from './report.ts';
import { requestsSince, silence } from './world.ts';

const POST = { where: 'server', what: 'POST /reg', nth: 1, after: 0 } as const;

/** @param servers their AuthorizationServers */
export async function diesRegistering(
  world: CrashWorld,
  subjects: readonly ClientSubject[],
  servers: readonly string[],
): Promise<void> {
  const { kube } = world.installation;
  const recovery = async (how: string) => {
    const patch = { spec: { clients: { recovery: how } } };
    for (const name of servers) await kube.patch(authorizationServers, { name }, patch, { type: 'merge' });
  };
  await recovery('Manual');
  const since = Date.now();
  await killThere(
    world,
    subjects.map((subject) => ({ subject, place: POST })),
  );
  await world.start();
  for (const subject of subjects) {
    const { client } = subject;
    const status = await client.until(({ conditions = [] }) => conditions.some((c) => c.reason === 'OrphanSuspected'));
    assert.ok(!isTrue(status, 'Ready') && isTrue(status, 'Stalled'));
    assert.equal(await client.secret(), undefined, 'nothing is published');
    assert.deepEqual((await client.record())?.material.certificates, {}, 'its key is destroyed');
  }
  const recoveredMs = Date.now() - since;
  await silence(world);
  for (const { client, marker } of subjects) {
    assert.equal(world.calls.of(marker, since).length, 1, 'nobody registers twice unasked');
    await client.annotate({ [RENEW_REQUESTED]: 'looked there' });
  }
  for (const { client } of subjects) {
    await client.ready();
    assert.equal(client.registrations().length, 2, 'the orphan, and the one that is used');
    const credentials = await client.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256);
  }
  await silence(world);
  report({
    area: 'The operator is killed',
    fault: 'between a registration (POST) and its answer, where `recovery` is `Manual`',
    outcome: '`OrphanSuspected`, its key is destroyed; registers anew when `renew-requested` says so',
    recoveredMs,
    requests: requestsSince(world, since).length,
  });
  await recovery('Recreate');
  for (const subject of subjects) await subject.remove();
}
