/** What must be true of a client when everything that was begun is done. */
import assert from 'node:assert/strict';
import type { Asked } from './trouble.ts';
import type { World } from './world.ts';

export function assertWellEnded(world: World, asked: Asked): void {
  const { record, authorizationServer, verifier, client } = world;
  const state = record?.state;
  assert.ok(state !== undefined);
  assert.equal(world.ready, 'True/Ready', JSON.stringify(client.status?.conditions, undefined, 1));
  assert.equal(state.intent, undefined);
  assert.equal(verifier.published?.clientId, state.registration?.clientId);
  const published = state.certificates.find(({ role }) => role === 'Published');
  assert.equal(verifier.published?.x5tS256, published?.x5tS256);
  // P4: every other client at the server was reported, and nobody has its key.
  const orphans = authorizationServer.clientIds.filter((clientId) => clientId !== state.registration?.clientId);
  assert.ok(orphans.length <= state.suspectedOrphans.length, `${orphans.length} orphans`);
  assertNoneTooMany(world, asked);
}

/** Each certificate was due, or asked for: a restart issues none. */
function assertNoneTooMany({ verifier, record }: World, asked: Asked): void {
  const reasons = [...verifier.issued.values()].map(({ reason }) => reason);
  const count = (...of: string[]) => reasons.filter((reason) => of.includes(reason)).length;
  assert.ok(count('Issuing') <= 1 + (record?.state.suspectedOrphans.length ?? 0), `${count('Issuing')} first ones`);
  assert.ok(count('RenewRequested') <= asked.renewals, `${count('RenewRequested')} for ${asked.renewals} requests`);
  const changed = count('PrivateKeyChanged', 'DurationChanged', 'IssuerChanged');
  assert.ok(changed <= asked.changes, `${changed} for ${asked.changes} changes`);
  const known = ['Issuing', 'RenewRequested', 'RenewalDue', 'PrivateKeyChanged', 'DurationChanged', 'IssuerChanged'];
  assert.deepEqual([...new Set(reasons.filter((reason) => !known.includes(reason)))], []);
  assert.deepEqual(verifier.early, [], 'renewed before it was due');
}
