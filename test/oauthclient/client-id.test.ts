/** A client_id that the team chose: claimed before anything is registered, released with the client. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CLIENT_ID_TAKEN, claimedClientId, claimName } from '../../src/authserver/claims.ts';
import type { ClientGrants } from '../../src/api/authorization-server.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { eachRow } from './checks.ts';
import {
  aClient,
  aServer,
  findingsOf,
  grants,
  issuerUrl,
  namespace,
  now,
  planOf,
  settled,
  viewOf,
  without,
} from './view.ts';

const keycloak = { clientId: 'certbound', clientSecretRef: { name: 'keycloak', key: 'secret' } };
const realm = `${issuerUrl}/realms/corporate`;

function named(change: Partial<ClientGrants> = { clientIds: ['batch-*'] }): Observed {
  const observed = settled('tls_client_auth', { clientId: 'batch-1' });
  const server = aServer({
    issuer: realm,
    dynamicRegistration: undefined,
    keycloak,
    defaultIssuerRef: { name: 'corporate-clients' },
    clients: { ...grants, ...change },
  });
  return { ...observed, server, record: undefined, published: undefined };
}
const claim = (holder = `${namespace}/batch`, holderUid = 'uid-1') => ({
  name: claimName(realm, claimedClientId('batch-1')),
  resourceVersion: '1',
  holder,
  holderUid,
  expires: undefined,
});

describe('a clientId', () => {
  eachRow([
    ['is claimed before anything is made', named, ['Registered=Unknown/ClaimingClientId → claimClientId']],
    [
      'comes before the identity: with that the client may be registered in the same step',
      () => ({ ...named(), claim: undefined }),
      ['Registered=Unknown/ClaimingClientId → claimClientId'],
    ],
    [
      'that is held, goes on',
      () => ({ ...named(), clientIdClaim: claim() }),
      ['CertificateReady=Unknown/Issuing → stageCertificate'],
    ],
    [
      'that another OAuthClient has, is taken',
      () => ({ ...named(), clientIdClaim: claim('identity/secret-name', 'uid-other') }),
      [`Registered=False/${CLIENT_ID_TAKEN} blocks`],
    ],
    ['that is not granted, is not claimed', () => named({}), ['Registered=False/NotGranted blocks']],
    [
      'where the server chooses, is refused',
      () => ({ ...named(), server: aServer({ defaultIssuerRef: { name: 'corporate-clients' } }) }),
      ['Registered=False/Unsupported blocks'],
    ],
  ]);

  test('who has it is not told', () => {
    const [finding] = findingsOf({ ...named(), clientIdClaim: claim('identity/secret-name', 'uid-other') });
    assert.doesNotMatch(finding?.message ?? '', /identity|secret-name/);
  });

  test('the message where the server chooses says what to leave out', () => {
    const [finding] = findingsOf({ ...named(), server: aServer({ defaultIssuerRef: { name: 'corporate-clients' } }) });
    assert.match(finding?.message ?? '', /leave clientId out/);
  });

  test('is what is registered, and stays', () => {
    assert.equal(viewOf(named()).desired.metadata?.['client_id'], 'batch-1');
  });

  test('is released with the client, after the registration', () => {
    const base = without(settled('tls_client_auth', { clientId: 'batch-1' }), 'registration');
    const client = aClient(base.client.spec, { deletionTimestamp: new Date(now).toISOString() });
    const released = { ...claim(), expires: now };
    const observed: Observed = { ...base, client, published: undefined, claim: undefined, clientIdClaim: claim() };
    assert.equal(planOf(observed).next?.name, 'releaseClientId');
    assert.equal(planOf({ ...observed, clientIdClaim: released }).next?.name, 'forgetRecord');
    const others = claim('identity/other', 'uid-other');
    assert.equal(planOf({ ...observed, clientIdClaim: others }).next?.name, 'forgetRecord');
  });
});
