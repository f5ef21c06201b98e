import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { doubtIn, refusalOf, type Doubt } from '../../src/oauthclient/observed.ts';
import { Reproofs } from '../../src/oauthclient/reproofs.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import { aClient, findingsOf, hour, instant, now, settled, viewOf } from './view.ts';

const interval = 6 * hour;
const said = (type: string, status: 'True' | 'False', reason: string) =>
  aClient(
    {},
    {},
    { conditions: [{ type, status, reason, message: 'It says so.', lastTransitionTime: instant(now - hour) }] },
  ).status;

const restarted = (doubt: Doubt | undefined) => {
  const reproofs = new Reproofs(now);
  const readyAt = () => {
    const observed = { ...settled(), reproof: reproofs.of('uid-1', interval, doubt) };
    const { conditions } = statusOf(viewOf(observed), findingsOf(observed));
    return conditions?.[0]?.status;
  };
  return { reproofs, readyAt };
};

const firstDue = (uid: string) => new Reproofs(now).of(uid, interval).due;

describe('a periodic proof', () => {
  test('comes in its own time after a start, another for each client, the same after each start', () => {
    const due = Array.from({ length: 200 }, (_, i) => firstDue(`uid-${i}`));
    assert.ok(due.every((time) => time > now && time <= now + interval));
    assert.ok(new Set(due).size > 190);
    assert.equal(firstDue('uid-1'), firstDue('uid-1'));
  });

  test('a second refusal in a row is a verdict; a proof takes it back, an unreachable server does not', () => {
    const reproofs = new Reproofs(now);
    const verdict = () => refusalOf(reproofs.of('uid-1', interval))?.reason;
    reproofs.refused('uid-1', now, interval, 'invalid_client');
    assert.equal(verdict(), undefined);
    reproofs.refused('uid-1', now, interval, 'invalid_client');
    assert.equal(verdict(), 'Refused');
    reproofs.postponed('uid-1', now);
    assert.equal(verdict(), 'Refused');
    reproofs.passed('uid-1', 'server-1', now, interval);
    assert.equal(verdict(), undefined);
  });
});

describe('a refusal outlives a restart', () => {
  test('as status tells it', () => {
    assert.equal(doubtIn(said('Proved', 'False', 'Refused')), 'published');
    assert.equal(doubtIn(said('Ready', 'False', 'Refused')), 'published');
    assert.equal(doubtIn(said('Proved', 'False', 'CertificateRefused')), 'successor');
    assert.equal(doubtIn(said('Proved', 'True', 'Proved')), undefined);
    assert.equal(doubtIn(said('Ready', 'False', 'NotGranted')), undefined);
    assert.equal(doubtIn(undefined), undefined);
  });

  test('it is looked into at once, and Ready only afterwards', () => {
    const { reproofs, readyAt } = restarted('published');
    assert.equal(reproofs.of('uid-1', interval, 'published').due, now);
    assert.equal(readyAt(), 'False');
    reproofs.postponed('uid-1', now);
    assert.equal(readyAt(), 'False', 'a server that can’t be reached clears nothing');
    reproofs.passed('uid-1', 'server-1', now, interval);
    assert.equal(readyAt(), 'True');
    reproofs.refused('uid-1', now, interval, 'invalid_client');
    assert.equal(readyAt(), 'True', 'and it counts anew');
  });

  test('one of a successor has the published one proved at once, and disproves nothing', () => {
    const { reproofs, readyAt } = restarted('successor');
    assert.equal(reproofs.of('uid-1', interval, 'successor').due, now);
    assert.equal(readyAt(), 'True');
  });

  test('without one, nothing is proved at once', () => {
    assert.ok(restarted(undefined).reproofs.of('uid-1', interval).due > now);
  });
});
