import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { desired } from '../../src/oauthclient/desired.ts';
import { withoutKeys } from '../../src/oauthclient/checks/registration.ts';
import { digestOf } from '../../src/oauthclient/digest.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import type { Intent } from '../../src/oauthclient/record.ts';
import { eachRow } from './checks.ts';
import {
  hour,
  aClient,
  aNext,
  aServer,
  grants,
  instant,
  now,
  planOf,
  recorded,
  selfSigned,
  settled,
  without,
} from './view.ts';

const intent = (operation: Intent['operation']): Intent => ({ id: 'intent-1', operation, since: instant(now) });
const renew = { 'certbound.dev/renew-requested': 'once' };

/** Staged for the first time: nothing is registered or published. */
const first = (change: Parameters<typeof recorded>[1] = {}): Observed => {
  const observed = { ...settled(), published: undefined };
  return recorded(without(observed, 'registration', 'context'), { certificates: [aNext()], ...change });
};
const orphan = (change: Partial<Observed> = {}) => ({
  ...first({ certificates: [], suspectedOrphans: [instant(now - hour)] }),
  ...change,
});
const recreate = aServer({
  defaultIssuerRef: { name: 'corporate-clients' },
  clients: { ...grants, recovery: 'Recreate' },
});
const digestOfRequest = (observed: Observed) => digestOf(withoutKeys(desired(observed, now).metadata));
const answered = (observed: Observed, change: Record<string, unknown>): Observed => {
  const registration = settled().record?.state?.registration;
  if (registration === undefined) throw new TypeError('nothing is registered');
  return recorded(observed, { registration: { ...registration, accepted: { ...registration.accepted, ...change } } });
};
const wantsUpdate = (change: Parameters<typeof recorded>[1] = {}) =>
  recorded({ ...settled(), client: aClient({ clientName: 'Batch' }) }, change);
const unchanging = aServer({
  defaultIssuerRef: { name: 'corporate-clients' },
  dynamicRegistration: { configurationMethods: ['GET'] },
});
const registrationOf = ({ record }: Observed) => {
  const registration = record?.state?.registration;
  if (registration === undefined) throw new TypeError('nothing is registered');
  return registration;
};
const stage = ['CertificateReady=Unknown/Issuing → stageCertificate'];

test('a create that was refused is tried at once with another credential', () => {
  const basisWith = (credentials: string) => planOf({ ...first(), credentials }).findings.at(-1)?.basis;
  assert.ok(basisWith('1') !== undefined);
  assert.equal(basisWith('1'), basisWith('1'));
  assert.notEqual(basisWith('1'), basisWith('2'));
});

describe('a create', () => {
  eachRow([
    ['is announced first', () => first(), ['Registered=Unknown/Registering → intendCreate']],
    [
      'is made where it is certain that it was not',
      () => ({ ...first({ intent: intent('create') }), unsentIntent: 'intent-1' }),
      ['Registered=Unknown/Registering → register'],
    ],
    [
      'is given up where it may have been made',
      () => first({ intent: intent('create') }),
      ['Registered=Unknown/RegistrationAnswerLost → abandonRegistration'],
    ],
    [
      'of which the answer is here and not stored yet is stored before anything else',
      () => ({ ...first({ intent: intent('create') }), answeredIntent: 'intent-1' }),
      ['Registered=Unknown/StoringAnswer → storeAnswer'],
    ],
    [
      'is given up where another intent is the unsent one',
      () => ({ ...first({ intent: intent('create') }), unsentIntent: 'intent-0' }),
      ['Registered=Unknown/RegistrationAnswerLost → abandonRegistration'],
    ],
    ['whose answer was lost is reported before another', () => orphan(), ['Registered=False/OrphanSuspected blocks']],
    ['is repeated where the platform allows it', () => orphan({ server: recreate }), stage],
    [
      'is repeated with pauses: a server that loses every answer must not be filled with orphans',
      () => recorded(orphan({ server: recreate }), { suspectedOrphans: [instant(now)] }),
      ['Registered=Unknown/OrphanSuspected blocks'],
    ],
    ['is repeated on request', () => orphan({ client: aClient({}, { annotations: renew }) }), stage],
    [
      'of which the server made something else is undone',
      () =>
        answered(recorded({ ...settled(), published: undefined }, { certificates: [aNext()] }), { grant_types: [] }),
      ['Registered=Unknown/MetadataRejected → rejectRegistration'],
    ],
    [
      'that was undone is not repeated until the request changes',
      () => first({ rejected: { askedDigest: digestOfRequest(first()), message: 'No.' } }),
      ['Registered=False/MetadataRejected blocks'],
    ],
    [
      'that was undone is repeated when the request has changed',
      () => first({ rejected: { askedDigest: 'of something else', message: 'No.' } }),
      ['Registered=Unknown/Registering → intendCreate'],
    ],
  ]);
});

describe('an update', () => {
  eachRow([
    ['is announced first', () => wantsUpdate(), ['Registered=Unknown/UpdatingRegistration → intendUpdate']],
    [
      'is made where it is certain that it was not',
      () => ({ ...wantsUpdate({ intent: intent('update') }), unsentIntent: 'intent-1' }),
      ['Registered=Unknown/UpdatingRegistration → updateRegistration'],
    ],
    [
      'of which the answer is here is stored, though nothing is asked for any more: it may hold a new token',
      () => ({ ...recorded(settled(), { intent: intent('update') }), answeredIntent: 'intent-1' }),
      ['Registered=Unknown/StoringAnswer → storeAnswer'],
    ],
    [
      'that may have been made is looked up',
      () => wantsUpdate({ intent: intent('update') }),
      ['Registered=Unknown/UpdateAnswerLost → recoverUpdate'],
    ],
    [
      'of which the server made something else is reported; what is published stays',
      () => answered(settled(), { grant_types: ['password'] }),
      ['Registered=False/MetadataRejected'],
    ],
    [
      'that the server can’t make is reported, and holds nothing up',
      () => ({ ...wantsUpdate(), server: unchanging }),
      ['Registered=False/UpdateUnsupported'],
    ],
    [
      'that the server can’t make of a key holds up its publication',
      () => ({
        ...recorded(settled('self_signed_tls_client_auth'), {
          certificates: [selfSigned('old'), selfSigned('new', { role: 'Next' })],
        }),
        server: unchanging,
      }),
      ['Registered=False/UpdateUnsupported blocks'],
    ],
    [
      'that changes nothing at the server is none',
      () => ({
        ...recorded(settled(), { registration: { ...registrationOf(settled()), askedDigest: 'of another version' } }),
        server: unchanging,
      }),
      [],
    ],
    ['what a server shows otherwise is no difference', () => answered(settled(), { client_name: null }), []],
  ]);

  test('waits for nothing where a rotation needs it, and holds nothing up where none does', () => {
    assert.equal(planOf(wantsUpdate()).findings.at(-1)?.deferrable, true);
    const needed = recorded(settled('self_signed_tls_client_auth'), { intent: intent('update') });
    assert.equal(planOf(needed).findings.at(-1)?.deferrable, false);
  });
});
