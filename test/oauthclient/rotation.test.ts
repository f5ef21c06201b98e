import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OperatorError } from '../../src/errors.ts';
import { clientChecks } from '../../src/oauthclient/checks/chain.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import type { CertificateState } from '../../src/oauthclient/record.ts';
import { evaluate } from '../../src/runtime/pass.ts';
import type { Distribution } from '../../src/terminator/distribution.ts';
import { eachRow } from './checks.ts';
import {
  aCertificate,
  aClient,
  aNext,
  anIssuer,
  brief,
  day,
  findingsOf,
  hour,
  instant,
  isReady,
  now,
  planOf,
  recorded,
  renewal,
  renewedAt,
  selfSigned,
  settled,
  upToDate,
  viewOf,
} from './view.ts';

const staged = (reason: string) => [`CertificateReady=Unknown/${reason} → stageCertificate`];
const holding = (...certificates: CertificateState[]) => recorded(settled(), { certificates });
const due = renewedAt(now);
const proving = ['Proved=Unknown/Proving → prove'];
const draining = (name: string, change: Partial<CertificateState> = {}) =>
  aCertificate(name, { role: 'Draining', replacedAt: instant(now - day), notAfter: instant(now + day), ...change });
const wants = (certificate: NonNullable<Observed['client']['spec']['certificate']>, of = settled()): Observed => ({
  ...of,
  client: aClient({ certificate }),
});
const notReady = (observed: Observed, status: 'False' | 'Unknown', reason: string): Observed => ({
  ...observed,
  issuer: anIssuer('tls_client_auth', {}, { conditions: isReady(status, reason) }),
});
const behind = (state: 'waiting' | 'blocked'): Distribution => ({
  state,
  reason: 'TerminatorsPending',
  message: 'web/edge is behind.',
  terminators: ['web/edge'],
});

const three = () => holding(due, draining('a'), draining('b', { notAfter: instant(now + hour) }));
const rotating = (state: 'waiting' | 'blocked') => ({
  ...holding(aCertificate('old'), aNext()),
  distribution: behind(state),
});
const replacing = (method: 'tls_client_auth' | 'self_signed_tls_client_auth', notAfter: number): Observed => {
  const before = { role: 'Draining' as const, replacedAt: instant(now - day), notAfter: instant(notAfter) };
  const pair =
    method === 'tls_client_auth'
      ? [aCertificate('old'), aCertificate('before', before)]
      : [selfSigned('old'), selfSigned('before', before)];
  return upToDate(recorded(settled(method), { certificates: pair }));
};
const reproved = (refusals: number, dueAt: number): Observed => ({
  ...settled(),
  reproof: { due: dueAt, refusals, message: 'invalid_client' },
});

describe('a certificate is begun', () => {
  eachRow([
    ['when its renewal is due, and not a second before', () => holding(due), staged('RenewalDue')],
    ['not a second before', () => holding(due), [], now - 1],
    [
      'when it is asked for',
      () => ({ ...settled(), client: aClient({}, { annotations: { 'certbound.dev/renew-requested': 'once' } }) }),
      staged('RenewRequested'),
    ],
    [
      'once for each time it is asked for',
      () =>
        recorded(
          { ...settled(), client: aClient({}, { annotations: { 'certbound.dev/renew-requested': 'once' } }) },
          { lastHandledRenew: 'once' },
        ),
      [],
    ],
    ['when another key is wanted', () => wants({ privateKey: { algorithm: 'RSA' } }), staged('PrivateKeyChanged')],
    ['when a larger key is wanted', () => wants({ privateKey: { size: 384 } }), staged('PrivateKeyChanged')],
    ['when another life is wanted', () => wants({ duration: '48h' }), staged('DurationChanged')],
    [
      'when another issuer is named',
      () => ({
        ...wants({ issuerRef: { name: 'other-clients' } }),
        issuer: { ...anIssuer(), metadata: { ...anIssuer().metadata, name: 'other-clients' } },
      }),
      staged('IssuerChanged'),
    ],
    ['never while another is on its way', () => holding(due, aNext()), proving],
    ['not for what changes nothing in it', () => wants({ drain: '48h', renewBefore: '100h' }), []],
    ['at once when renewBefore says so by now', () => wants({ renewBefore: '400h' }), staged('RenewalDue')],
    ['later when renewBefore says so by now', () => wants({ renewBefore: '100h' }, holding(due)), []],
  ]);
});

describe('what was begun for something else makes way', () => {
  const rsa = { privateKey: { algorithm: 'RSA' as const } };
  const retiring = ['CertificateReady=Unknown/PrivateKeyChanged → retire'];
  eachRow([
    ['a first one', () => wants(rsa, holding(aNext())), retiring],
    ['a successor', () => wants(rsa, holding(aCertificate('old'), aNext())), retiring],
    [
      'not where its own successor can’t be had',
      () => notReady(wants(rsa, holding(aCertificate('old'), aNext())), 'False', 'Broken'),
      proving,
    ],
  ]);
});

describe('an issuer that can’t sign', () => {
  eachRow([
    [
      'stops a first certificate',
      () => notReady({ ...settled(), record: undefined, published: undefined }, 'False', 'SecretMissing'),
      ['CertificateReady=False/SecretMissing blocks'],
    ],
    [
      'delays a renewal, and nothing else',
      () => notReady(holding(due), 'False', 'SecretMissing'),
      ['CertificateReady=Unknown/SecretMissing'],
    ],
    [
      'that nobody looked at yet',
      () => notReady(holding(due), 'Unknown', 'X'),
      ['CertificateReady=Unknown/IssuerNotReady'],
    ],
    ['is of no interest at rest', () => notReady(settled(), 'False', 'SecretMissing'), []],
  ]);

  test('its own message stays with the platform', () => {
    const [finding] = findingsOf(notReady(holding(due), 'False', 'SecretMissing'));
    assert.doesNotMatch(finding?.message ?? '', /It says so/);
  });
});

describe('at most three certificates live', () => {
  test('a further renewal waits for the first of them to go', () => {
    const plan = planOf(three());
    assert.deepEqual(plan.findings.map(brief), ['CertificateReady=Unknown/RotationWaits']);
    assert.equal(plan.at, now + hour);
  });

  /** Half of what `renewBefore` leaves. */
  const latest = ({ notAfter }: CertificateState) => (renewal() + Date.parse(notAfter)) / 2;

  const long = { notAfter: instant(now + 180 * day) };
  const outlived = () => holding(due, draining('a', long), draining('b', long));

  test('but not beyond half of what is left: others may outlive what is published', () => {
    const plan = planOf(outlived());
    assert.deepEqual(plan.findings.map(brief), ['CertificateReady=Unknown/RotationWaits']);
    const begun = plan.at ?? 0;
    const [due_] = outlived().record?.state?.certificates ?? [];
    const [from, end] = [now, Date.parse(due_?.notAfter ?? '')];
    assert.equal(begun, (from + end) / 2);
    assert.deepEqual(findingsOf(outlived(), begun - 1).map(brief), ['CertificateReady=Unknown/RotationWaits']);
    assert.deepEqual(findingsOf(outlived(), begun).map(brief), staged('RenewalDue'));
  });

  test('what was merely asked for waits until it is due', () => {
    const current = aCertificate('old', { requested: { durationMs: 180 * day, algorithm: 'ECDSA', size: 256 } });
    const plan = planOf(holding(current, draining('a', long), draining('b', long)));
    assert.deepEqual(plan.findings.map(brief), ['CertificateReady=Unknown/RotationWaits']);
    assert.equal(plan.at, latest(current));
  });

  eachRow([
    [
      'one that has ended doesn’t count',
      () => holding(due, draining('a'), draining('b', { notAfter: instant(now) })),
      staged('RenewalDue'),
    ],
    [
      'one that is drained goes while the renewal waits',
      () => wants({ drain: '48h' }, holding(due, draining('a'), draining('b', { replacedAt: instant(now - 2 * day) }))),
      ['CertificateReady=Unknown/RotationWaits', 'CertificateReady=Unknown/Retiring → retire'],
    ],
  ]);
});

const beingProved: Distribution = { state: 'distributed', lagging: [], proving: ['Ingress a/b'] };
const changedAt = (since: number): Distribution => ({ state: 'distributed', lagging: [], since });

describe('a certificate is distributed before it is tried', () => {
  /** The published one has 15 days when its successor is begun. */
  const third = now + 10 * day;

  eachRow([
    [
      'a first one waits',
      () => ({ ...holding(aNext()), distribution: behind('waiting') }),
      ['TerminatorsReady=Unknown/TerminatorsPending blocks'],
    ],
    [
      'for as long as it takes',
      () => ({ ...holding(aNext()), distribution: behind('waiting') }),
      ['TerminatorsReady=Unknown/TerminatorsPending blocks'],
      now + 29 * day,
    ],
    ['a successor waits', () => rotating('waiting'), ['TerminatorsReady=Unknown/TerminatorsPending blocks']],
    ['for somebody, too', () => rotating('blocked'), ['TerminatorsReady=False/TerminatorsPending blocks']],
    [
      'until a third of the remaining life',
      () => rotating('blocked'),
      ['TerminatorsReady=False/TerminatorsPending blocks'],
      third - 1,
    ],
    [
      'then it goes on and says so',
      () => rotating('blocked'),
      ['TerminatorsReady=False/TerminatorsPending', ...proving],
      third,
    ],
    ['then it is proved', () => holding(due, aNext()), proving],
    [
      'what live connections are to show first is waited for',
      () => ({ ...holding(aNext()), distribution: beingProved }),
      ['TerminatorsReady=Unknown/TerminatorsBeingProved blocks'],
    ],
    ['until a third is left', () => ({ ...holding(due, aNext()), distribution: beingProved }), proving, third],
    ['a client that has what it needs waits for nothing', () => ({ ...settled(), distribution: beingProved }), []],
    ['nothing waits where no certificate is on its way', () => ({ ...settled(), distribution: behind('waiting') }), []],
    [
      'a successor waits for terminators to load what was changed just now, which one that answers for the others does not tell',
      () => ({ ...holding(due, aNext()), distribution: changedAt(now) }),
      ['TerminatorsReady=Unknown/Propagating blocks'],
      now + 59_999,
    ],
    [
      'for as long as the platform says',
      () => ({ ...holding(due, aNext()), distribution: changedAt(now) }),
      proving,
      now + 60_000,
    ],
    ['a first one does not', () => ({ ...holding(aNext()), distribution: changedAt(now) }), proving],
    [
      'nor one whose predecessor would end meanwhile',
      () => ({
        ...holding(aCertificate('old', { notAfter: instant(now + 60_000) }), aNext()),
        distribution: changedAt(now + 40_000),
      }),
      proving,
      now + 40_000,
    ],
    [
      'nor for a clock that was set back',
      () => ({ ...holding(due, aNext()), distribution: changedAt(now + hour) }),
      proving,
    ],
  ]);

  test('however short renewBefore is', () => {
    const late = aCertificate('old', { notAfter: instant(now + hour) });
    const observed = { ...holding(late, aNext()), distribution: behind('waiting') };
    assert.deepEqual(findingsOf(observed).map(brief), ['TerminatorsReady=Unknown/TerminatorsPending blocks']);
    assert.equal(planOf(observed).at, now + hour - 20 * 60_000);
  });
});

const during = (drain: string, ...certificates: CertificateState[]) => wants({ drain }, holding(...certificates));

describe('a replaced certificate', () => {
  const drained = draining('before', { replacedAt: instant(now - 2 * day) });
  const retiring = ['CertificateReady=Unknown/Retiring → retire'];

  eachRow([
    ['is retired when its drain is over', () => during('48h', aCertificate('old'), drained), retiring],
    ['and not before', () => during('48h', aCertificate('old'), drained), [], now - 1],
    ['at once when the drain is shortened', () => during('24h', aCertificate('old'), draining('before')), retiring],
    ['later when it is lengthened', () => during('72h', aCertificate('old'), drained), []],
    [
      'not while a token may live that is bound to it, whatever the drain',
      () => {
        const observed = during('24h', aCertificate('old'), draining('before'));
        return recorded(observed, { longestTokenLifetimeSeconds: 24 * 3600 });
      },
      [],
    ],
    [
      'and when it ends before its drain',
      () => holding(aCertificate('old'), draining('before', { notAfter: instant(now) })),
      retiring,
    ],
    [
      'leaves the registered keys before its own key is destroyed',
      () => replacing('self_signed_tls_client_auth', now + hour),
      ['Registered=Unknown/UpdatingRegistration → intendUpdate'],
      now + hour,
    ],
    [
      'is not registered by name under tls_client_auth',
      () => replacing('tls_client_auth', now + hour),
      ['CertificateReady=Unknown/Retiring → retire'],
      now + hour,
    ],
    [
      'a successor that ended before it was accepted goes, too',
      () => holding(aCertificate('old'), aNext({ notAfter: instant(now) })),
      ['CertificateReady=Unknown/Retiring → retire'],
    ],
  ]);
});

describe('a published certificate is proved again', () => {
  eachRow([
    ['when it is time', () => reproved(0, now), ['Proved=Unknown/ProvingAgain → provePublished']],
    ['a first refusal is no verdict', () => reproved(1, now + 5000), []],
    [
      'a second one is, and the registration is looked at',
      () => reproved(2, now + hour),
      ['Proved=False/Refused', 'Registered=Unknown/Inspecting → inspectRegistration'],
    ],
    ['and is looked into again', () => reproved(2, now), ['Proved=Unknown/ProvingAgain → provePublished']],
    [
      'not when it has ended: that says enough',
      () => ({
        ...recorded(reproved(0, now), { certificates: [aCertificate('old', { notAfter: instant(now) })] }),
      }),
      ['CertificateReady=False/Expired', ...staged('RenewalDue')],
    ],
    [
      'while a successor waits for a terminator',
      () => ({ ...rotating('blocked'), reproof: { due: now, refusals: 0, message: '' } }),
      ['Proved=Unknown/ProvingAgain → provePublished'],
    ],
    [
      'also before an update that a rotation waits for',
      () => ({
        ...settled('self_signed_tls_client_auth'),
        client: aClient({ tokenEndpointAuthMethod: 'self_signed_tls_client_auth', clientName: 'x' }),
        reproof: { due: now, refusals: 0, message: '' },
      }),
      ['Proved=Unknown/ProvingAgain → provePublished'],
    ],
  ]);

  test('and where that fails the rotation goes on', () => {
    const observed = { ...holding(aCertificate('old'), aNext()), reproof: { due: now, refusals: 0, message: '' } };
    const error = new OperatorError('ServerUnavailable', 'It failed.');
    const { findings } = evaluate(clientChecks, viewOf(observed), (finding) =>
      finding.step?.name === 'provePublished' ? { ...finding, error } : finding,
    );
    assert.deepEqual(findings.map(brief), ['Proved=Unknown/ProvingAgain → provePublished', ...proving]);
  });
});

test('a proof that failed before a terminator was put right is tried at once afterwards', () => {
  const renewing = recorded(settled(), { certificates: [aCertificate('old'), aNext()] });
  const basisAt = (since?: number) => {
    const distribution = { state: 'distributed', lagging: [], ...(since === undefined ? {} : { since }) } as const;
    return findingsOf({ ...renewing, distribution }).find(({ step }) => step?.name === 'prove')?.basis;
  };
  assert.ok(basisAt() !== undefined);
  assert.equal(basisAt(now - hour), basisAt(now - hour));
  assert.notEqual(basisAt(now - hour), basisAt(now - hour + 1));
});
