import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { echoViolations } from '../../src/authserver/registration/client-metadata.ts';
import { initialMembers, metadataOf, ownMembers } from '../../src/authserver/keycloak/keycloak-representation.ts';
import { metadataOf as asked } from './contract.ts';

const extensions = { caSubject: 'CN=Clients' };
const metadata = () => asked('tls_client_auth', { extensions });

/** What Keycloak keeps of it. */
function kept(members: ReturnType<typeof ownMembers>) {
  return {
    id: 'a2b6',
    clientId: members.clientId,
    ...members.representation,
    attributes: members.attributes,
    optionalClientScopes: members.scopes,
  };
}

describe('a client of Keycloak', () => {
  const grants = [
    ['client_credentials'],
    ['authorization_code'],
    ['authorization_code', 'refresh_token'],
    ['urn:ietf:params:oauth:grant-type:device_code', 'urn:openid:params:grant-type:ciba'],
    ['client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange'],
  ];
  for (const grantTypes of grants) {
    test(`says what was asked for: ${grantTypes.join(', ')}`, async () => {
      const responseTypes = grantTypes.includes('authorization_code') ? ['code'] : [];
      const wanted = { ...(await metadata()), grant_types: grantTypes, response_types: responseTypes };
      assert.deepEqual(echoViolations(wanted, metadataOf(kept(ownMembers(wanted)), undefined)), []);
    });
  }

  test('never compares the subject as a pattern', async () => {
    const { attributes } = ownMembers(await metadata());
    assert.equal(attributes['x509.allow.regex.pattern.comparison'], 'false');
    const client = kept(ownMembers(await metadata()));
    for (const pattern of ['true', '', undefined]) {
      const { 'x509.allow.regex.pattern.comparison': _exact, ...rest } = client.attributes;
      const changed = pattern === undefined ? rest : { ...rest, 'x509.allow.regex.pattern.comparison': pattern };
      const shown = metadataOf({ ...client, attributes: changed }, undefined);
      assert.match(String(shown['tls_client_auth_subject_dn']), /^pattern CN=/);
    }
  });

  test('shows whatever lets others in besides', async () => {
    const wanted = await metadata();
    const client = kept(ownMembers(wanted));
    const seen = (change: Record<string, unknown>) =>
      echoViolations(wanted, metadataOf({ ...client, ...change }, undefined)).map(({ member }) => member);
    assert.deepEqual(seen({ publicClient: true }), ['token_endpoint_auth_method']);
    assert.deepEqual(seen({ clientAuthenticatorType: 'client-secret' }), ['token_endpoint_auth_method']);
    assert.deepEqual(seen({ clientAuthenticatorType: 'client-of-their-own' }), ['token_endpoint_auth_method']);
    assert.deepEqual(seen({ directAccessGrantsEnabled: true }), ['grant_types']);
    assert.deepEqual(seen({ implicitFlowEnabled: true }), ['grant_types', 'response_types']);
    assert.deepEqual(seen({ redirectUris: ['*'] }), ['redirect_uris']);
    assert.deepEqual(seen({ optionalClientScopes: ['accounts:read', 'admin'] }), ['scope']);
    assert.deepEqual(seen({ clientId: 'renamed' }), ['client_id']);
    assert.deepEqual(seen({ attributes: undefined }).toSorted(), [
      'certbound_owner',
      'certbound_owner_uid',
      'grant_types',
      'tls_client_auth_ca_subject_dn',
      'tls_client_auth_subject_dn',
      'tls_client_certificate_bound_access_tokens',
    ]);
  });

  test('knows openid without being told, where it was asked for', async () => {
    const wanted = { ...(await metadata()), scope: 'openid accounts:read' };
    const members = ownMembers(wanted);
    assert.deepEqual(members.scopes, ['accounts:read']);
    assert.equal(metadataOf(kept(members), wanted.scope)['scope'], 'openid accounts:read');
    assert.equal(metadataOf(kept(members), undefined)['scope'], 'accounts:read');
  });

  test('asks for what the realm gives by default, or has it not', () => {
    const { defaultClientScopes, optionalClientScopes, fullScopeAllowed } = initialMembers(
      ['basic', 'profile'],
      ['profile', 'accounts:read'],
    );
    assert.deepEqual(
      [defaultClientScopes, optionalClientScopes, fullScopeAllowed],
      [['basic'], ['profile', 'accounts:read'], false],
    );
  });

  test('is refused where Keycloak would do something else than is meant', async () => {
    const wanted = await metadata();
    for (const [change, says] of [
      [{ redirect_uris: ['https://app.example.com/*'] }, /the \* in a redirect URI/],
      [{ token_endpoint_auth_method: 'self_signed_tls_client_auth' }, /token_endpoint_auth_method/],
      [{ tls_client_auth_subject_dn: undefined, tls_client_auth_san_dns: 'a.example' }, /tls_client_auth_subject_dn/],
      [{ grant_types: ['no such grant'] }, /no grant type no such grant/],
    ] as const) {
      assert.throws(() => ownMembers({ ...wanted, ...change }), { code: 'RegistrationRefused', message: says });
    }
  });
});
