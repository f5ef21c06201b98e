import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClientCertificates } from '../../../src/terminator/driver.ts';
import type { AddressRound, Case, Observation, Outcome } from '../../../src/terminator/proof/outcome.ts';
import {
  delayOf,
  type HostProof,
  judge,
  problemsOf,
  proofAfter,
  stateOf,
  UNPROVED,
} from '../../../src/terminator/proof/verdict.ts';

const alert: Outcome = { kind: 'alert' };
const closed: Outcome = { kind: 'closed' };
const silence: Outcome = { kind: 'unreachable', why: 'no answer in time' };
const answer = (status: number, aboutCertificate = false): Outcome => ({ kind: 'answer', status, aboutCertificate });
/** As nginx refuses. */
const page = answer(400, true);

type Answers = Partial<Record<Case, Outcome>>;
const observed = (answers: Answers): Observation[] =>
  (['none', 'canary', 'foreign', 'forged', 'resumed'] as const).flatMap((name) => {
    const outcome = answers[name];
    return outcome === undefined ? [] : [{ case: name, outcome }];
  });

/** What is said: violations by case, or `unclear`. */
function said(mode: ClientCertificates, answers: Answers): string {
  const { violations, unclear } = judge(mode, observed(answers));
  const words = violations.map(({ reason, case: name }) => `${reason} ${name}`);
  return [...words, ...(unclear === undefined ? [] : ['unclear'])].join(', ') || 'as it should be';
}

const LAX = 'ClientAuthenticationNotEnforced';
const table: [string, ClientCertificates, Answers, string][] = [
  ['nginx', 'required', { none: page, canary: answer(404), foreign: page, forged: page }, 'as it should be'],
  ['an alert', 'required', { none: alert, canary: answer(200), foreign: alert, resumed: alert }, 'as it should be'],
  ['haproxy-ingress', 'required', { none: answer(496), canary: answer(404), foreign: answer(495) }, 'as it should be'],
  [
    'a page without words',
    'required',
    { none: answer(403), canary: answer(404), foreign: answer(403) },
    'as it should be',
  ],
  [
    'a reset in place of an alert',
    'required',
    { none: closed, canary: answer(404), foreign: closed },
    'as it should be',
  ],
  ['an API that asks for a token', 'required', { none: page, canary: answer(401), foreign: page }, 'as it should be'],
  ['an API that denies', 'required', { none: alert, canary: answer(403), foreign: alert }, 'as it should be'],
  ['a backend that is down', 'required', { none: page, canary: answer(503), foreign: page }, 'as it should be'],
  ['nobody is trusted', 'required', { none: page, foreign: page }, 'as it should be'],
  ['the CA signs elsewhere, a bare 400', 'required', { none: answer(400), foreign: answer(400) }, 'as it should be'],
  [
    'no client authentication',
    'required',
    { none: answer(404), canary: answer(404), foreign: answer(404) },
    `${LAX} none, ${LAX} foreign`,
  ],
  ['optional', 'required', { none: answer(200), canary: answer(200), foreign: page }, `${LAX} none`],
  ['no verification', 'required', { none: page, canary: answer(200), foreign: answer(200) }, `${LAX} foreign`],
  [
    'no verification and a redirect',
    'required',
    { none: page, canary: answer(200), foreign: answer(302) },
    `${LAX} foreign`,
  ],
  [
    'lax, before an API that asks for a token',
    'required',
    { none: answer(401), canary: answer(401), foreign: answer(401) },
    `${LAX} none, ${LAX} foreign`,
  ],
  [
    'a header that is believed',
    'required',
    { none: answer(403), canary: answer(200), foreign: answer(403), forged: answer(200) },
    `${LAX} forged`,
  ],
  [
    'a session that is resumed',
    'required',
    { none: alert, canary: answer(200), foreign: alert, resumed: answer(200) },
    `${LAX} resumed`,
  ],
  ['another bundle', 'required', { none: page, canary: page, foreign: page }, 'CertificateRefused canary'],
  ['another bundle, by alert', 'required', { none: alert, canary: alert, foreign: alert }, 'CertificateRefused canary'],
  ['403 for everybody', 'required', { none: answer(403), canary: answer(403), foreign: answer(403) }, 'unclear'],
  ['503 for everybody', 'required', { none: answer(503), canary: answer(503), foreign: answer(503) }, 'unclear'],
  ['a reset for everybody', 'required', { none: closed, canary: closed, foreign: closed }, 'unclear'],
  ['a 403 with nobody to compare with', 'required', { none: answer(403), foreign: answer(403) }, 'unclear'],
  ['too many requests', 'required', { none: page, canary: answer(429), foreign: page }, 'as it should be'],
  ['silence', 'required', { none: silence }, 'unclear'],
  [
    'a lax host that falls silent',
    'required',
    { none: answer(200), canary: silence, foreign: silence },
    `${LAX} none, unclear`,
  ],
  ['nginx', 'optional', { none: answer(404), canary: answer(404), foreign: page }, 'as it should be'],
  ['Envoy', 'optional', { none: answer(404), canary: answer(404), foreign: alert }, 'as it should be'],
  ['no verification', 'optional', { none: answer(404), canary: answer(404), foreign: answer(404) }, `${LAX} foreign`],
  ['required', 'optional', { none: page, canary: answer(404), foreign: page }, 'CertificateRequired none'],
  ['another bundle', 'optional', { none: answer(404), canary: page, foreign: page }, 'CertificateRefused canary'],
  ['nothing is verified', 'request', { none: answer(404), foreign: answer(404) }, 'as it should be'],
  ['verified all the same', 'request', { none: answer(404), foreign: alert }, 'CertificateRefused foreign'],
];

describe('what answers mean', () => {
  for (const [title, mode, answers, expected] of table) {
    test(`${mode}: ${title}`, () => assert.equal(said(mode, answers), expected));
  }
});

const ADDRESS = '192.0.2.1:443';
const right: Answers = { none: page, canary: answer(404), foreign: page };
const lax: Answers = { none: answer(404), canary: answer(404), foreign: page };
const silent: Answers = { none: silence };

/** Of 192.0.2.1, 192.0.2.2 and so on. */
const at = (...answers: Answers[]): ReadonlyMap<string, Answers> =>
  new Map(answers.map((each, i) => [`192.0.2.${i + 1}:443`, each]));

/** Rounds at one address each minute from the year 2026 on. */
function after(...sequence: (Answers | ReadonlyMap<string, Answers>)[]): HostProof {
  let now = Date.UTC(2026, 0, 1);
  return sequence.reduce<HostProof>((proof, each) => {
    now += 60_000;
    const byAddress = each instanceof Map ? each : new Map([[ADDRESS, each]]);
    const rounds = [...byAddress].map(([address, answers]): AddressRound => ({
      address,
      observations: observed(answers),
    }));
    return proofAfter(proof, { mode: 'required', rounds, now });
  }, UNPROVED);
}

describe('how often it has to be seen', () => {
  test('one round proves nothing and disproves nothing', () => {
    assert.equal(stateOf(after(right)), 'unproved');
    assert.equal(stateOf(after(lax)), 'unproved');
    assert.deepEqual(problemsOf('a.example', after(right, right, lax)), []);
    assert.equal(stateOf(after(right, right, lax)), 'proved');
  });

  test('two do', () => {
    assert.equal(stateOf(after(right, right)), 'proved');
    assert.equal(after(right, right).passedAt, Date.UTC(2026, 0, 1, 0, 2));
    assert.equal(stateOf(after(lax, lax)), 'disproved');
    const [problem, ...more] = problemsOf('a.example', after(right, right, lax, lax));
    assert.deepEqual(more, []);
    assert.ok(problem?.holdsUp);
    assert.match(
      problem.message,
      /^At a\.example \(192\.0\.2\.1:443\) a caller without a certificate was let in: status 404\. See /,
    );
  });

  test('a stale replica behind one address is found although another answers in between', () => {
    assert.equal(stateOf(after(right, lax, right, right, lax)), 'disproved');
    assert.equal(stateOf(after(lax, right, right, right, lax)), 'proved', 'three in a row were right');
  });

  test('what was disproved stays so until three rounds are right', () => {
    assert.equal(stateOf(after(lax, lax, right, right)), 'disproved');
    assert.equal(stateOf(after(lax, lax, right, right, right)), 'proved');
    const gone = after(right, right, lax, lax, new Map([['192.0.2.9:443', right]]));
    assert.equal(stateOf(gone), 'unproved', 'nor is it proved by what was before');
  });

  test('silence changes nothing', () => {
    assert.equal(stateOf(after(right, right, silent, silent, silent)), 'proved');
    assert.equal(stateOf(after(lax, lax, silent, silent, silent)), 'disproved');
    assert.equal(stateOf(after(silent, silent, silent)), 'unproved');
    assert.equal(stateOf(after(right, silent, right)), 'proved');
  });

  test('each address for itself', () => {
    const one = at(right, lax);
    assert.equal(stateOf(after(one, one)), 'disproved');
    assert.match(problemsOf('a.example', after(one, one))[0]?.message ?? '', /\(192\.0\.2\.2:443\)/);
    assert.equal(stateOf(after(one, at(lax, right))), 'unproved', 'once at each');
    assert.equal(stateOf(after(one, one, at(right))), 'unproved', 'the replica is gone');
  });
});

describe('when it is asked again', () => {
  const HOUR = 3_600_000;
  const cases: [string, HostProof, number][] = [
    ['the second look', after(right), 5_000],
    ['a first doubt', after(right, right, lax), 5_000],
    ['proved', after(right, right), HOUR],
    ['disproved', after(lax, lax), 20_000],
    ['on the way to be right', after(lax, lax, right), 5_000],
    ['silence', after(right, right, silent), 30_000],
    ['long silence', after(silent, silent, silent, silent), 240_000],
    ['no end to it', after(...Array.from({ length: 40 }, () => silent)), HOUR],
  ];
  for (const [title, proof, delay] of cases) test(title, () => assert.equal(delayOf(proof, HOUR), delay));
  test('never less often than the interval', () => assert.equal(delayOf(after(lax, lax), 1_000), 1_000));
});
