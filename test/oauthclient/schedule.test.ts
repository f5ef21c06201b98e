import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import {
  proofDelay,
  renewalTime,
  replacedLate,
  retired,
  retirementOf,
  retireTime,
} from '../../src/oauthclient/schedule.ts';
import { wakeAt } from '../../src/oauthclient/wake.ts';
import { aCertificate, aNext, day, hour, instant, now, recorded, renewal, settled, viewOf } from './view.ts';

const minute = 60_000;
/** A certificate that may have got less life than was asked for. */
const issued = fc
  .record({
    durationMs: fc.integer({ min: 5 * minute, max: 400 * day }),
    got: fc.double({ min: 0.01, max: 1, noNaN: true }),
    share: fc.double({ min: 0.001, max: 0.999, noNaN: true }),
    seed: fc.string({ maxLength: 60 }),
  })
  .map(({ durationMs, got, share, seed }) => ({
    issuedAt: now,
    notAfter: now + Math.ceil(durationMs * got),
    durationMs,
    renewBeforeMs: Math.ceil(durationMs * share),
    seed,
  }));

const renewalOf = (seed: string) =>
  renewalTime({ issuedAt: now, notAfter: now + 30 * day, durationMs: 30 * day, renewBeforeMs: 10 * day, seed });

describe('the renewal time', () => {
  test('lies in the life of the certificate', () => {
    fc.assert(
      fc.property(issued, (options) => {
        const time = renewalTime(options);
        assert.ok(Number.isInteger(time));
        assert.ok(time >= options.issuedAt && time <= options.notAfter);
      }),
    );
  });

  test('is renewBefore before the end, earlier by at most a tenth of it, in proportion to the life that was got', () => {
    fc.assert(
      fc.property(issued, (options) => {
        const life = options.notAfter - options.issuedAt;
        const renewBefore = options.renewBeforeMs * Math.min(1, life / options.durationMs);
        const early = options.notAfter - renewBefore - renewalTime(options);
        assert.ok(early > -1 && early <= renewBefore / 10 + 1, `${early} of ${renewBefore}`);
      }),
    );
  });

  test('is the same after a rebuild, and another for another client', () => {
    assert.equal(renewalOf('prod/payments/batch'), renewalOf('prod/payments/batch'));
    const times = Array.from({ length: 200 }, (_, i) => renewalOf(`prod/payments/batch-${i}`));
    assert.ok(new Set(times).size > 190, 'many clients don’t renew at once');
    assert.ok(Math.max(...times) - Math.min(...times) > 0.8 * day, 'they are spread over the tenth');
  });

  test('a renewal leaves time for the certificate to be used, however long renewBefore is', () => {
    const time = renewalTime({
      issuedAt: now,
      notAfter: now + hour,
      durationMs: hour,
      renewBeforeMs: hour - 10_000,
      seed: 'x',
    });
    assert.ok(time >= now + 5_000);
  });
});

describe('the end of a drain', () => {
  const replaced = fc.record({
    replacedAt: fc.constant(now),
    notAfter: fc.integer({ min: now, max: now + 90 * day }),
    drainMs: fc.option(fc.integer({ min: 0, max: 90 * day }), { nil: undefined }),
    propagationMs: fc.integer({ min: 0, max: hour }),
    longestTokenLifetimeMs: fc.integer({ min: 0, max: day }),
  });

  test('is never past the certificate’s own, nor before its last token has ended everywhere', () => {
    fc.assert(
      fc.property(replaced, (options) => {
        const time = retireTime(options);
        const least = now + options.propagationMs + options.longestTokenLifetimeMs;
        assert.ok(time <= options.notAfter);
        assert.ok(time >= Math.min(options.notAfter, least));
      }),
    );
  });

  test('is the certificate’s own by default, and drain where that is longer than the least', () => {
    const options = { replacedAt: now, notAfter: now + 90 * day, propagationMs: minute, longestTokenLifetimeMs: hour };
    assert.equal(retireTime({ ...options, drainMs: undefined }), now + 90 * day);
    assert.equal(retireTime({ ...options, drainMs: 2 * day }), now + 2 * day);
    assert.equal(retireTime({ ...options, drainMs: 0 }), now + hour + minute);
  });
});

describe('the times of a certificate', () => {
  const schedule = viewOf(settled('tls_client_auth', { certificate: { drain: '48h' } })).desired;
  const before = aCertificate('before', { role: 'Draining', replacedAt: instant(now) });

  test('a drain begins when the successor took its place', () => {
    assert.equal(retirementOf(before, schedule), now + 2 * day);
    assert.equal(retired(before, schedule, now + 2 * day - 1), false);
    assert.equal(retired(before, schedule, now + 2 * day), true);
  });

  test('what is published is never retired, and what is to come goes with its end', () => {
    assert.equal(retired(aCertificate('old'), schedule, now + 90 * day), false);
    assert.equal(retired(aNext(), schedule, now + 30 * day - 1), false);
    assert.equal(retired(aNext(), schedule, now + 30 * day), true);
  });

  test('publication is late when it comes seconds after the proof', () => {
    assert.equal(replacedLate(before, now + 1000), false);
    assert.equal(replacedLate(before, now + 60_000), true);
    assert.equal(replacedLate(aCertificate('old'), now + 60_000), false);
  });

  test('each of them wakes', () => {
    const certificates = [aCertificate('old'), before];
    const observed = recorded(settled('tls_client_auth', { certificate: { drain: '48h' } }), { certificates });
    const times: number[] = [];
    for (let at: number | undefined = now; at !== undefined; at = wakeAt(viewOf(observed, at))) times.push(at);
    assert.deepEqual(
      times.slice(1),
      [now + 2 * day, renewal(), now + 15 * day, now + 90 * day],
      'drain, renewal, end, re-proof',
    );
  });
});

describe('the next proof call after a refusal', () => {
  const refused = fc.record({
    elapsed: fc.integer({ min: 0, max: 60 * day }),
    left: fc.integer({ min: 0, max: 60 * day }),
    replaced: fc.option(fc.integer({ min: 0, max: 60 * day }), { nil: undefined }),
    propagationMs: fc.integer({ min: 0, max: hour }),
  });

  test('comes soon within the propagation time, and later at most three times an hour', () => {
    fc.assert(
      fc.property(refused, ({ elapsed, left, replaced, propagationMs }) => {
        const at = now + elapsed;
        const replaces = replaced === undefined ? undefined : at + replaced;
        const delay = proofDelay({ since: now, now: at, propagationMs, notAfter: at + left, replaces });
        if (elapsed < propagationMs) assert.ok(delay >= 250 && delay <= 2_000);
        else {
          assert.ok(delay >= 1_000);
          assert.ok(delay <= Math.max(1_000, left / 20), 'never more than a twentieth of the life that is left');
          const published = replaced === undefined || replaced === 0 ? left : replaced;
          assert.ok(delay <= Math.max(1_000, published / 20), 'nor of the life of what is published');
          if (Math.min(left, published) / 20 >= 20 * minute) assert.ok(delay >= 20 * minute);
        }
      }),
    );
  });

  test('doubles', () => {
    const tries: number[] = [];
    for (let at = now; at < now + 2 * day && tries.length < 1000;) {
      at += proofDelay({ since: now, now: at, propagationMs: 0, notAfter: now + 90 * day });
      tries.push(at - now);
    }
    assert.deepEqual(tries.slice(0, 4), [20 * minute, 40 * minute, 80 * minute, 160 * minute]);
    assert.ok(tries.length < 12);
  });

  test('a renewal that is late pauses for no day, and one that is too late for twenty minutes', () => {
    const late = { since: now - 10 * day, now, propagationMs: minute, notAfter: now + 60 * day };
    assert.equal(proofDelay(late), 3 * day, 'with nothing published');
    assert.equal(proofDelay({ ...late, replaces: now + day }), day / 20);
    assert.equal(proofDelay({ ...late, replaces: now - day }), 20 * minute);
  });

  test('a clock that was set back does not make it spin', () => {
    const delay = proofDelay({ since: now + hour, now, propagationMs: minute, notAfter: now + day });
    assert.ok(delay >= 250);
  });
});
