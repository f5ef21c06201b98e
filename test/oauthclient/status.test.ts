import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { oauthClient, type OAuthClientStatus } from '../../src/api/oauth-client.ts';
import { OperatorError, type Retry } from '../../src/errors.ts';
import { clientChecks } from '../../src/oauthclient/checks/chain.ts';
import { digestOf } from '../../src/oauthclient/digest.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import { evaluate } from '../../src/runtime/pass.ts';
import {
  aCertificate,
  aClient,
  aNext,
  aServer,
  day,
  hour,
  instant,
  isReady,
  now,
  projected,
  recorded,
  renewal,
  renewedAt,
  settled,
  untouched,
  upToDate,
  viewOf,
} from './view.ts';

/** The status after a pass in which the step that was due failed with `error`. */
function statusAt(observed: Observed, at = now, error?: OperatorError): OAuthClientStatus {
  const view = viewOf(observed, at);
  const plan = evaluate(clientChecks, view, (finding) =>
    error === undefined || finding.step === undefined
      ? finding
      : { ...finding, error, reason: error.code, message: error.message },
  );
  return statusOf(view, plan.findings);
}

const conditionOf = (status: OAuthClientStatus, type: string): string | undefined => {
  const found = status.conditions?.find((c) => c.type === type);
  return found && `${found.status}/${found.reason}`;
};
const ready = (...of: Parameters<typeof statusAt>) => conditionOf(statusAt(...of), 'Ready');
const types = (status: OAuthClientStatus) => status.conditions?.map(({ type }) => type);
const failed = (retry: Retry) => new OperatorError('ItFailed', 'It failed.', { retry });
const backoff = failed({ class: 'backoff' });
const soon = failed({ class: 'after', milliseconds: 2_000 });
const late = failed({ class: 'after', milliseconds: hour });
const terminal = failed({ class: 'terminal' });

const renewing = recorded(settled(), { certificates: [renewedAt(now)] });
const rotating = recorded(settled(), { certificates: [aCertificate('old'), aNext()] });
const starting = recorded({ ...settled(), published: undefined }, { certificates: [aNext()] });
const damagedSecret = (of: Observed): Observed => ({
  ...of,
  published: of.published && { ...of.published, digests: { ...of.published.digests, 'tls.key': 'x' } },
});
const always = ['Ready', 'CertificateReady', 'Registered', 'Proved', 'TerminatorsReady'];

describe('at rest', () => {
  test('everything is True and nothing abnormal is there', () => {
    const status = statusAt(settled());
    assert.deepEqual(
      status.conditions?.map(({ type, status: value }) => `${type}=${value}`),
      always.map((type) => `${type}=True`),
    );
    assert.equal(status.clientId, 'client-1');
    assert.equal(status.secretName, 'batch-oauth');
    assert.equal(status.subject, 'tls_client_auth_subject_dn=CN=payments.batch,OU=test-1');
    assert.deepEqual(status.rotation, { phase: 'Settled', reason: 'Issuing', since: instant(now) });
  });

  test('it fits the schema', () => {
    for (const observed of [
      untouched(),
      settled(),
      rotating,
      starting,
      { ...settled(), record: projected(undefined) },
    ]) {
      const status = statusAt(observed);
      assert.deepEqual(oauthClient.parse({ ...observed.client, status }).status, status);
    }
  });

  test('the same world gives the same status at any later time: nothing is written', () => {
    for (const observed of [settled(), rotating, untouched(), starting, { ...settled(), server: undefined }]) {
      const first = statusAt(observed);
      const again = statusAt({ ...observed, client: { ...observed.client, status: first } }, now + hour / 2);
      assert.equal(digestOf(again), digestOf(first));
    }
  });

  test('not even when what the API server answers has its members in another order', () => {
    const first = statusAt(settled());
    const reordered = Object.fromEntries(Object.entries(first).toReversed());
    assert.equal(digestOf(reordered), digestOf(first));
  });
});

describe('a transient fault takes nothing away (P9)', () => {
  const server = { conditions: isReady('False', 'Unreachable') };
  const faults: [string, Observed, OperatorError?][] = [
    ['the issuer is down when a renewal is due', renewing, backoff],
    ['the API server is down when a renewal is due', renewing, soon],
    ['the successor is not accepted yet', rotating, soon],
    ['the successor is refused, and tried again late', rotating, late],
    [
      'the server can’t be reached for the periodic proof',
      { ...settled(), reproof: { due: now, refusals: 1, message: '' } },
      backoff,
    ],
    [
      'the server was never discovered since',
      { ...settled(), server: aServer({ defaultIssuerRef: { name: 'corporate-clients' } }, server) },
    ],
    [
      'a terminator is behind',
      { ...rotating, distribution: { state: 'waiting', reason: 'TerminatorsPending', message: '', terminators: [] } },
    ],
    ['the other terminators are behind', { ...settled(), distribution: { state: 'distributed', lagging: ['a/b'] } }],
    ['an update is refused for now', { ...settled(), client: aClient({ clientName: 'x' }) }, backoff],
    ['a first refusal', { ...settled(), reproof: { due: now + hour, refusals: 1, message: 'invalid_client' } }],
  ];
  for (const [name, observed, error] of faults) {
    test(name, () => {
      const status = statusAt(observed, now, error);
      assert.equal(conditionOf(status, 'Ready'), 'True/Ready');
      assert.equal(conditionOf(status, 'CertificateReady'), 'True/Issued');
      assert.equal(conditionOf(status, 'Stalled'), undefined);
    });
  }
});

test('what a live connection showed is the case until it shows something else, after a restart too', () => {
  const was = {
    type: 'TerminatorsReady',
    status: 'False',
    reason: 'ClientAuthenticationNotEnforced',
    message: 'why',
  } as const;
  const observed = settled();
  const conditions = [{ ...was, lastTransitionTime: instant(now), observedGeneration: 1 }];
  const client = { ...observed.client, status: { conditions } };
  const at = (distribution: Observed['distribution']) =>
    conditionOf(statusAt({ ...observed, client, distribution }), 'TerminatorsReady');
  assert.equal(
    at({ state: 'distributed', lagging: [], proving: ['Ingress a/b'] }),
    'False/ClientAuthenticationNotEnforced',
  );
  assert.equal(at({ state: 'distributed', lagging: [] }), 'True/Distributed');
});

const rotated = (change: Partial<Observed> = {}): Observed => {
  const before = aCertificate('before', { role: 'Draining', replacedAt: instant(now), notAfter: instant(now + day) });
  const was = recorded(settled(), { certificates: [{ ...before, role: 'Published' }] });
  const { published } = upToDate(was);
  const held = { ...was, published };
  const client = { ...held.client, status: statusAt(held) };
  return { ...recorded(held, { certificates: [aCertificate('old'), before] }), client, ...change };
};

describe('while a successor can’t be published', () => {
  const publishing = 'Unknown/ItFailed';

  test('what the Secret holds still works: Ready, until its end', () => {
    const status = statusAt(rotated(), now, backoff);
    assert.equal(conditionOf(status, 'Ready'), 'True/Ready');
    assert.ok(status.conditions?.[0]?.message.endsWith(`${instant(now + day)}.`), 'its end, not its successor’s');
    assert.equal(conditionOf(status, 'Reconciling'), 'True/ItFailed');
    assert.equal(ready(rotated(), now + day - 1, backoff), 'True/Ready');
    assert.equal(ready(rotated(), now + day, backoff), publishing);
  });

  const faults: [string, Observed][] = [
    ['the Secret is gone', rotated({ published: undefined })],
    ['a value of it was changed', damagedSecret(rotated())],
    [
      'it names an endpoint that is no more',
      rotated({
        server: aServer(
          { defaultIssuerRef: { name: 'corporate-clients' } },
          { endpoints: { tokenEndpoint: 'https://as.example.com/new' } },
        ),
      }),
    ],
    ['it was not Ready before', rotated({ client: aClient() })],
  ];
  for (const [name, observed] of faults) {
    test(`${name}: not Ready`, () => assert.equal(ready(observed, now, backoff), publishing));
  }
});

describe('a change that the server refuses', () => {
  const changed = { ...settled(), client: aClient({ clientName: 'x' }) };
  const refused = new OperatorError('RegistrationRefused', 'It said: no.', {
    retry: { class: 'after', milliseconds: 60_000 },
  });

  test('is told with its reason, and takes nothing from what is published', () => {
    const status = statusAt(changed, now, refused);
    assert.equal(conditionOf(status, 'Ready'), 'True/Ready');
    assert.equal(conditionOf(status, 'Registered'), 'False/RegistrationRefused');
    assert.equal(conditionOf(status, 'Stalled'), 'True/RegistrationRefused');
    assert.equal(conditionOf(status, 'Reconciling'), undefined);
    assert.equal(status.conditions?.find(({ type }) => type === 'Registered')?.message, 'It said: no.');
  });

  test('and one that it can’t make are the same to whoever waits for it', () => {
    const server = aServer({
      defaultIssuerRef: { name: 'corporate-clients' },
      dynamicRegistration: { configurationMethods: ['GET'] },
    });
    const told = statusAt({ ...changed, server });
    const found = statusAt(changed, now, new OperatorError('UpdateUnsupported', 'It does not.', { retry: late.retry }));
    for (const status of [told, found]) {
      assert.equal(conditionOf(status, 'Ready'), 'True/Ready');
      assert.equal(conditionOf(status, 'Registered'), 'False/UpdateUnsupported');
      assert.equal(conditionOf(status, 'Stalled'), 'True/UpdateUnsupported');
    }
    assert.match(
      told.conditions?.find(({ type }) => type === 'Registered')?.message ?? '',
      /of client_name it knows the old value\. Undo the change; or create a second OAuthClient/,
    );
  });

  test('for a token that was lost says nothing of the registration itself', () => {
    const retry: Retry = { class: 'after', milliseconds: 600_000 };
    const status = statusAt(changed, now, new OperatorError('RegistrationAccessTokenLost', 'It is lost.', { retry }));
    assert.equal(conditionOf(status, 'Ready'), 'True/Ready');
    assert.equal(conditionOf(status, 'Registered'), 'Unknown/RegistrationAccessTokenLost');
  });

  test('before anything is published: not Ready', () => {
    const first = recorded(starting, { registration: undefined });
    assert.equal(ready(first, now, refused), 'False/RegistrationRefused');
  });

  test('is none where the server asks for patience, however long', () => {
    const busy = new OperatorError('ServerUnavailable', 'Not now.', { retry: { class: 'after', milliseconds: hour } });
    const status = statusAt(changed, now, busy);
    assert.equal(conditionOf(status, 'Registered'), 'True/Registered');
    assert.equal(conditionOf(status, 'Stalled'), undefined);
    assert.equal(ready(recorded(starting, { registration: undefined }), now, busy), 'Unknown/ServerUnavailable');
  });
});

describe('Ready is False only with a reason and a remedy', () => {
  const faults: [string, Observed, string, OperatorError?][] = [
    ['what nobody can retry', renewing, 'ItFailed', terminal],
    ['a first certificate that is tried again late', starting, 'ItFailed', late],
    ['the grant is gone', { ...settled(), server: undefined }, 'AuthorizationServerNotGranted'],
    ['the record is damaged', { ...settled(), record: projected(undefined) }, 'RecordDamaged'],
    [
      'refused twice',
      { ...settled(), reproof: { due: now + hour, refusals: 2, message: 'invalid_client' } },
      'Refused',
    ],
    [
      'refused twice, and the next try fails otherwise',
      { ...settled(), reproof: { due: now, refusals: 2, message: 'invalid_client' } },
      'Refused',
      backoff,
    ],
    [
      'refused twice, and the server can’t be asked again',
      {
        ...settled(),
        server: aServer({ defaultIssuerRef: { name: 'corporate-clients' } }, { conditions: isReady('Unknown') }),
        reproof: { due: now, refusals: 2, message: 'invalid_client' },
      },
      'Refused',
    ],
  ];
  for (const [name, observed, reason, error] of faults) {
    test(name, () => {
      const status = statusAt(observed, now, error);
      assert.equal(conditionOf(status, 'Ready'), `False/${reason}`);
      assert.equal(conditionOf(status, 'Stalled'), `True/${reason}`);
      assert.equal(conditionOf(status, 'Reconciling'), undefined);
      assert.notEqual(status.conditions?.[0]?.message, '');
    });
  }

  test('the end of the certificate, to the second', () => {
    const ending = recorded(settled(), { certificates: [aCertificate('old', { notAfter: instant(now + day) })] });
    const down = { ...ending, server: aServer({ defaultIssuerRef: { name: 'corporate-clients' } }, {}) };
    assert.equal(ready(down, now + day - 1), 'True/Ready');
    assert.equal(ready(down, now + day), 'False/Expired');
    assert.equal(ready(ending, now + day, backoff), 'False/Expired');
  });
});

describe('on the way', () => {
  test('before anything: Unknown, Reconciling, and every condition is there', () => {
    const status = statusAt(untouched());
    assert.deepEqual(types(status), [...always, 'Reconciling']);
    assert.equal(conditionOf(status, 'Ready'), 'Unknown/Preparing');
    assert.equal(conditionOf(status, 'Registered'), 'Unknown/Pending');
    assert.equal(conditionOf(status, 'Reconciling'), 'True/Preparing');
  });

  test('a rotation is Reconciling beside Ready', () => {
    const status = statusAt(rotating, now, soon);
    assert.deepEqual(types(status), [...always, 'Reconciling']);
    assert.equal(conditionOf(status, 'Reconciling'), 'True/ItFailed');
  });

  test('the Secret is being written again: not Ready meanwhile', () => {
    assert.equal(ready({ ...settled(), published: undefined }, now, backoff), 'Unknown/ItFailed');
  });

  test('being deleted: not Ready', () => {
    const client = aClient({}, { deletionTimestamp: instant(now) });
    assert.equal(ready({ ...settled(), client }), 'Unknown/Deregistering');
  });

  const phases: [string, Observed, string][] = [
    ['staged', recorded(starting, { registration: undefined }), 'Staged'],
    [
      'registered',
      { ...rotating, distribution: { state: 'waiting', reason: 'TerminatorsPending', message: '', terminators: [] } },
      'Registered',
    ],
    ['distributed', rotating, 'Distributed'],
    ['proved', { ...settled(), published: undefined }, 'Proved'],
    [
      'draining',
      recorded(settled(), {
        certificates: [aCertificate('old'), aCertificate('before', { role: 'Draining', replacedAt: instant(now) })],
      }),
      'Draining',
    ],
    ['settled', settled(), 'Settled'],
  ];
  for (const [name, observed, phase] of phases) {
    test(`phase: ${name}`, () => assert.equal(statusAt(observed).rotation?.phase, phase));
  }
});

describe('certificates', () => {
  const draining = Array.from({ length: 6 }, (_, i) =>
    aCertificate(`drain-${i}`, { role: 'Draining', replacedAt: instant(now), stagedAt: instant(now - i * hour) }),
  );

  test('the most important ones are shown, as far as the schema lets', () => {
    const status = statusAt(recorded(settled(), { certificates: [...draining, aNext(), aCertificate('old')] }));
    assert.deepEqual(
      status.certificates?.map(({ x5tS256 }) => x5tS256),
      ['old', 'next', 'drain-0', 'drain-1'],
    );
  });

  test('a replaced one has no renewal, but an end', () => {
    const status = statusAt(recorded(settled(), { certificates: [aCertificate('old'), ...draining.slice(0, 1)] }));
    assert.equal(status.certificates?.[0]?.renewalTime, instant(renewal()));
    assert.equal(status.certificates[0]?.retireAt, undefined);
    assert.equal(status.certificates[1]?.renewalTime, undefined);
    assert.equal(status.certificates[1]?.retireAt, instant(now + 15 * day));
  });
});

const timesAt = (certificate: NonNullable<Observed['client']['spec']['certificate']>) => {
  const before = aCertificate('before', { role: 'Draining', replacedAt: instant(now - hour) });
  const observed = recorded(settled(), { certificates: [aCertificate('old'), before] });
  const { certificates } = statusAt({ ...observed, client: aClient({ certificate }) });
  return [certificates?.[0]?.renewalTime, certificates?.[1]?.retireAt] as const;
};

describe('times follow the spec', () => {
  test('a drain is shorter or longer at once', () => {
    assert.equal(timesAt({})[1], instant(now + 15 * day));
    assert.equal(timesAt({ drain: '48h' })[1], instant(now + 47 * hour));
    assert.equal(timesAt({ drain: '24h' })[1], instant(now + 23 * hour));
  });

  test('and so is renewBefore', () => {
    const [default_] = timesAt({});
    const [later = ''] = timesAt({ renewBefore: '100h' });
    assert.equal(default_, instant(renewal()));
    const before = now + 15 * day - Date.parse(later);
    assert.ok(before >= 100 * hour && before <= 110 * hour + 1000);
  });
});

describe('without the record, status remembers', () => {
  const remembered = { clientId: 'client-1', lastHandledRenew: 'once' };
  const lost = (record: Observed['record']) => ({ ...settled(), record, client: aClient({}, {}, remembered) });

  test('what was registered, lost or damaged', () => {
    for (const observed of [lost(undefined), lost(projected(undefined))]) {
      const { clientId, lastHandledRenew } = statusAt(observed);
      assert.deepEqual({ clientId, lastHandledRenew }, remembered);
    }
  });

  test('and forgets it when the record says that there is none', () => {
    const observed = recorded(starting, { registration: undefined });
    assert.equal(statusAt({ ...observed, client: aClient({}, {}, remembered) }).clientId, undefined);
  });
});

describe('while somebody else keeps writing the published Secret', () => {
  const contested = (observed: Observed): Observed => {
    const plan = evaluate(clientChecks, viewOf(damagedSecret(observed), now));
    if (plan.next?.name !== 'publish') throw new TypeError('it is not published again');
    return { ...observed, rewritten: { content: plan.next.content, times: [now, now, now] } };
  };
  const wasReady = (observed: Observed): Observed => ({
    ...observed,
    client: aClient({}, {}, { clientId: 'client-1', conditions: isReady() }),
  });
  const unlabelled = (of: Observed): Observed => ({
    ...of,
    published: of.published && { ...of.published, labels: {} },
  });

  test('what it holds does not work: Ready is False, and the reason is told', () => {
    const status = statusAt(damagedSecret(wasReady(contested(settled()))));
    assert.equal(conditionOf(status, 'Ready'), 'False/SecretReverted');
    assert.equal(conditionOf(status, 'Stalled'), 'True/SecretReverted');
  });

  test('it stays so until it has kept what was written', () => {
    assert.equal(ready(contested(settled())), 'False/SecretReverted');
    assert.equal(ready(contested(settled()), now + 10_000), 'True/Ready');
  });

  test('what it holds works: Ready stays, and somebody has to act', () => {
    const status = statusAt(unlabelled(wasReady(contested(settled()))));
    assert.equal(conditionOf(status, 'Ready'), 'True/Ready');
    assert.equal(conditionOf(status, 'Stalled'), 'True/SecretReverted');
    assert.equal(conditionOf(status, 'CertificateReady'), 'False/SecretReverted');
  });
});
