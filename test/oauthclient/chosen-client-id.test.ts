/** A server where client ids are ours, and that is managed with a credential. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultClientId } from '../../src/authserver/registration/client-metadata.ts';
import { desired } from '../../src/oauthclient/desired.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import type { Intent } from '../../src/oauthclient/record.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import { eachRow } from './checks.ts';
import {
  aCertificate,
  aClient,
  aNext,
  anIssuer,
  aServer,
  clusterId,
  findingsOf,
  grants,
  hour,
  instant,
  now,
  recorded,
  settled,
  upToDate,
  viewOf,
  without,
} from './view.ts';

const keycloak = (clients = grants, more: { caSubject?: 'Always' } = {}) =>
  aServer({
    dynamicRegistration: undefined,
    keycloak: { clientId: 'certbound', clientSecretRef: { name: 'keycloak', key: 'secret' }, ...more },
    defaultIssuerRef: { name: 'corporate-clients' },
    clients,
  });
const there = (clients = grants): Observed => upToDate({ ...settled(), server: keycloak(clients) });
const intent = (operation: Intent['operation']): Intent => ({ id: 'intent-1', operation, since: instant(now) });
const lost = (): Observed =>
  recorded(without({ ...there(), published: undefined }, 'registration', 'context'), {
    certificates: [aNext()],
    intent: intent('create'),
  });
const deleting = (observed: Observed): Observed => ({
  ...observed,
  client: aClient({}, { deletionTimestamp: instant(now) }),
});
const refused = (registration: 'absent' | 'present', clients = grants): Observed => ({
  ...there(clients),
  reproof: { due: now + hour, refusals: 2, refusedSince: now, message: 'invalid_client', registration },
});
const from = (observed: Observed, ...authorities: (string | undefined)[]) =>
  recorded(observed, {
    certificates: authorities.map((caSubject, index) =>
      aCertificate(index === 0 ? 'old' : `old-${index}`, {
        role: index === 0 ? 'Published' : 'Draining',
        ...(index === 0 ? {} : { replacedAt: instant(now) }),
        ...(caSubject === undefined ? {} : { caSubject }),
      }),
    ),
  });
const asked = (observed: Observed) => desired(observed, now).metadata ?? {};
const CA = 'CN=Clients,O=Example';

describe('a client whose id is ours', () => {
  eachRow([
    ['has nothing left to do', there, []],
    [
      'is looked for where the answer to its creation was lost',
      lost,
      ['Registered=Unknown/RegistrationAnswerLost → recoverCreate'],
    ],
    [
      'is made where it is certain that it was not',
      () => ({ ...lost(), unsentIntent: 'intent-1' }),
      ['Registered=Unknown/Registering → register'],
    ],
    [
      'is looked for also where it is being deleted, or it would stay behind',
      () => deleting(lost()),
      ['Registered=Unknown/RegistrationAnswerLost → recoverCreate'],
    ],
    [
      'is gone where the server says so itself, whoever else is accepted',
      () => refused('absent'),
      ['Registered=False/RegistrationGone blocks'],
    ],
    [
      'is registered anew where the platform says so',
      () => refused('absent', { ...grants, recovery: 'Recreate' }),
      ['Registered=Unknown/RegistrationGone → forgetRegistration'],
    ],
    ['is not gone while it is there', () => refused('present'), ['Proved=False/Refused']],
  ]);

  test('that is gone gets the same id again', () => {
    const [finding] = findingsOf(refused('absent'));
    assert.match(finding?.message ?? '', /finds no such client.*register anew; or let/);
  });

  test('is asked for under an id that tells cluster, namespace and name, with its owner', () => {
    const observed = without(there(), 'registration');
    assert.equal(asked(observed)['client_id'], `${clusterId}.payments.batch`);
    assert.equal(asked(observed)['certbound_owner'], `${clusterId}/payments/batch`);
    assert.equal(asked({ ...observed, server: aServer() })['client_id'], undefined);
    assert.equal(asked({ ...observed, server: aServer() })['certbound_owner'], undefined);
  });

  test('keeps the id that it was registered under', () => {
    assert.equal(asked(there())['client_id'], 'client-1');
  });
});

test('an id that would be too long ends in a hash, and is another one for another client', () => {
  const [one, other] = ['a', 'b'].map((last) => defaultClientId('eu1', 'n'.repeat(63), `${'x'.repeat(250)}${last}`));
  assert.ok(one !== undefined && one.length <= 200);
  assert.notEqual(one, other);
  assert.equal(one, defaultClientId('eu1', 'n'.repeat(63), `${'x'.repeat(250)}a`));
});

describe('the CA that the server compares', () => {
  const member = 'tls_client_auth_ca_subject_dn';
  const pinned = () => {
    const observed = there();
    const registration = observed.record?.state?.registration;
    assert.ok(registration !== undefined);
    return recorded(observed, {
      registration: { ...registration, accepted: { ...registration.accepted, [member]: CA } },
    });
  };
  test('is the one of all live certificates', () => {
    assert.equal(asked(from(pinned(), CA))[member], CA);
    assert.equal(asked(from(pinned(), CA, CA))[member], CA);
    assert.equal(asked(from(without(there(), 'registration'), CA))[member], CA, 'to be registered with it');
  });
  test('is none between two, for one of them would be refused', () => {
    assert.equal(asked(from(pinned(), CA, 'CN=Another'))[member], undefined);
    assert.equal(asked(from(pinned(), CA, undefined))[member], undefined);
  });
  test('is told to the server when it changes', () => {
    assert.deepEqual(
      findingsOf(from(pinned(), CA)).map(({ step }) => step?.name),
      ['intendUpdate'],
    );
  });
  test('is none once it was left out: the server may not know the CA that it would compare', () => {
    assert.equal(asked(from(there(), 'CN=Another'))[member], undefined);
  });
  test('is the one again where the platform says that the server knows it, but none between two', () => {
    const always = { ...there(), server: keycloak(grants, { caSubject: 'Always' }) };
    assert.equal(asked(from(always, 'CN=Another'))[member], 'CN=Another');
    assert.equal(asked(from(always, 'CN=Another', CA))[member], undefined);
  });
  test('is told of where it is left out', () => {
    const says = (observed: Observed) =>
      statusOf(viewOf(observed), findingsOf(observed)).conditions?.find(
        (c) => c.type === 'CertificateAuthorityUnpinned',
      );
    assert.match(says(from(there(), CA))?.message ?? '', /Keycloak 27 is to refuse.*caSubject: Always/);
    assert.equal(says(from(pinned(), CA)), undefined);
    assert.equal(says({ ...from(there(), CA), server: aServer() }), undefined);
    assert.equal(says(without(there(), 'registration')), undefined);
  });
  test('is none where nobody knows it, and at a server that compares none', () => {
    assert.equal(asked(from(pinned(), undefined))[member], undefined);
    assert.equal(asked({ ...from(pinned(), CA), server: aServer() })[member], undefined);
  });
});

describe('what this server can’t do is said before anything is made', () => {
  const fresh = (change: Partial<Observed>): Observed => ({
    ...there(),
    record: undefined,
    published: undefined,
    claim: undefined,
    ...change,
  });
  const says = (observed: Observed) => {
    const [finding, ...more] = findingsOf(observed);
    assert.deepEqual(more, []);
    assert.deepEqual([finding?.condition, finding?.status, finding?.reason], ['Registered', 'False', 'Unsupported']);
    assert.equal(finding?.step, undefined);
    return finding?.message ?? '';
  };

  test('a self-signed client, though the server should say that it can', () => {
    const client = aClient({ tokenEndpointAuthMethod: 'self_signed_tls_client_auth' });
    const message = says(fresh({ client, issuer: anIssuer('self_signed_tls_client_auth') }));
    assert.match(message, /does not know self_signed_tls_client_auth: create an OAuthClient with tls_client_auth/);
  });

  test('a subject alternative name', () => {
    const subject = { dnsName: 'batch.example.com' };
    const server = keycloak({ ...grants, identityTemplates: [{ dnsName: '{name}.example.com' }] });
    const message = says(fresh({ server, client: aClient({ certificate: { subject } }) }));
    assert.match(message, /by tls_client_auth_subject_dn and not by tls_client_auth_san_dns.*certificate\.subject\.dn/);
  });

  test('a grant type', () => {
    const message = says(fresh({ client: aClient({ grantTypes: ['client_credentials', 'password'] }) }));
    assert.match(message, /grant type password: leave it out/);
  });
});

describe('refresh tokens that end with the certificate', () => {
  const spec = { grantTypes: ['authorization_code', 'refresh_token'], redirectURIs: ['https://app.example.com/cb'] };
  const says = (observed: Observed) =>
    statusOf(viewOf(observed), findingsOf(observed)).conditions?.find((c) => c.type === 'RefreshTokensEndAtRotation');

  test('are told of, where the client has any', () => {
    assert.match(says({ ...there(), client: aClient(spec) })?.message ?? '', /log in again/);
    assert.equal(says(there()), undefined);
  });

  test('are not told of where the server binds none, or where nothing of it is to be known', () => {
    assert.equal(says({ ...there(), client: aClient(spec), server: aServer() }), undefined);
    assert.equal(says({ ...there(), client: aClient(spec), record: undefined }), undefined);
  });
});
