/** The server knows the client no longer. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { doubtIn, type Observed } from '../../src/oauthclient/observed.ts';
import { Reproofs } from '../../src/oauthclient/reproofs.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import { eachRow } from './checks.ts';
import { aClient, aServer, findingsOf, grants, hour, now, settled, viewOf } from './view.ts';

const refused = (change: Partial<Observed['reproof']> = {}, acceptedAt?: number): Observed => ({
  ...settled(),
  reproof: { due: now + hour, refusals: 2, refusedSince: now - 5_000, message: 'invalid_client', ...change },
  acceptedAt,
});
const gone = () => refused({ registration: 'unreadable' }, now - 1_000);
const recreated = (observed: Observed): Observed => ({
  ...observed,
  server: aServer({ defaultIssuerRef: { name: 'corporate-clients' }, clients: { ...grants, recovery: 'Recreate' } }),
});
const asked = (observed: Observed): Observed => ({
  ...observed,
  client: aClient({}, { annotations: { 'certbound.dev/renew-requested': 'again' } }),
});
const isRefused = 'Proved=False/Refused';
const isGone = ['Registered=False/RegistrationGone blocks'];
const forgetting = ['Registered=Unknown/RegistrationGone → forgetRegistration'];

describe('a client whose certificate is refused', () => {
  eachRow([
    ['once, is proved again soon', () => refused({ refusals: 1 }), []],
    ['twice, is looked for', () => refused(), [isRefused, 'Registered=Unknown/Inspecting → inspectRegistration']],
    ['and is there, waits for somebody', () => refused({ registration: 'present' }, now), [isRefused]],
    [
      'by a server that accepts nobody else, is not given up',
      () => refused({ registration: 'unreadable' }),
      [isRefused],
    ],
    [
      'by a server that accepted others only before, neither',
      () => recreated(refused({ registration: 'unreadable' }, now - 6_000)),
      [isRefused],
    ],
    ['while others are accepted, is gone', gone, isGone],
    ['is registered anew where the platform says so', () => recreated(gone()), forgetting],
    ['or where somebody asks for it', () => asked(gone()), forgetting],
    ['whoever else is accepted', () => asked(refused({ registration: 'unreadable' })), [isRefused, ...forgetting]],
  ]);

  test('says so, also after a restart', () => {
    const observed = gone();
    const status = statusOf(viewOf(observed), findingsOf(observed));
    const [ready] = status.conditions ?? [];
    assert.deepEqual([ready?.status, ready?.reason], ['False', 'RegistrationGone']);
    assert.match(ready?.message ?? '', /Restore the client there.*renew-requested.*recovery: Recreate/);
    assert.equal(doubtIn(status), 'published');
  });

  test('is remembered as refused since the first time, and read again after each', () => {
    const reproofs = new Reproofs(now);
    const state = () => reproofs.of('uid-1', hour);
    reproofs.refused('uid-1', now, hour, 'no');
    reproofs.refused('uid-1', now + 5_000, hour, 'no');
    assert.equal(state().refusedSince, now);
    reproofs.looked('uid-1', 'unreadable');
    reproofs.postponed('uid-1', now + 6_000);
    assert.equal(state().registration, 'unreadable', 'a server that can’t be reached says nothing');
    reproofs.refused('uid-1', now + 7_000, hour, 'no');
    assert.equal(state().registration, undefined);
    assert.equal(reproofs.acceptedAt('server-1'), undefined);
    reproofs.passed('uid-2', 'server-1', now + 8_000, hour);
    assert.equal(reproofs.acceptedAt('server-1'), now + 8_000);
    reproofs.passed('uid-1', 'server-1', now + 9_000, hour);
    assert.deepEqual([state().refusals, state().refusedSince], [0, undefined]);
  });

  test('a lost token has the certificate tried at once, but not over and over', () => {
    const reproofs = new Reproofs(now);
    reproofs.suspect('uid-1', now + 1_000);
    assert.equal(reproofs.of('uid-1', hour).due, now + 1_000);
    reproofs.refused('uid-1', now + 1_000, hour, 'no');
    const { due } = reproofs.of('uid-1', hour);
    reproofs.suspect('uid-1', now + 2_000);
    assert.equal(reproofs.of('uid-1', hour).due, due);
  });
});
