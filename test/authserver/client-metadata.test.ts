import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  changedMembers,
  changesByOthers,
  clientMetadata,
  type DesiredClient,
  echoViolations,
  metadataRejected,
  ownershipMarker,
  platformMetadata,
  updateBody,
} from '../../src/authserver/registration/client-metadata.ts';
import { effectiveIdentity } from '../../src/authserver/identity.ts';

const result = effectiveIdentity([{ dn: 'CN={name},O={namespace}' }], undefined, {
  namespace: 'payments',
  name: 'batch',
  clusterId: 'eu1',
});
assert.ok('identity' in result);
const key = (name: string) => ({ kty: 'EC', kid: `kid-${name}`, x5c: [`cert-${name}`], 'x5t#S256': `print-${name}` });
const desired: DesiredClient = {
  method: 'tls_client_auth',
  identity: result.identity,
  keys: [],
  keySetUri: undefined,
  clientName: undefined,
  marker: ownershipMarker('eu1', 'payments', 'batch'),
  grantTypes: ['client_credentials', 'refresh_token'],
  responseTypes: [],
  redirectURIs: [],
  scope: 'a b',
};
const tls = clientMetadata(desired);
const selfSigned = clientMetadata({
  ...desired,
  method: 'self_signed_tls_client_auth',
  keys: [key('old'), key('new')],
  clientName: 'Batch',
});

describe('client metadata', () => {
  test('tls_client_auth registers exactly one subject and no keys', () => {
    assert.deepEqual(tls, {
      client_name: 'eu1/payments/batch',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=batch,O=payments',
      tls_client_certificate_bound_access_tokens: true,
      grant_types: ['client_credentials', 'refresh_token'],
      response_types: [],
      redirect_uris: [],
      scope: 'a b',
    });
  });

  test('lists without an entry are left out where the server refuses them, and others stay', () => {
    const omitted = clientMetadata({ ...desired, emptyLists: false });
    const { response_types: _none, redirect_uris: _neither, ...rest } = tls;
    assert.deepEqual(omitted, rest);
    assert.deepEqual(echoViolations(omitted, { ...rest, response_types: [] }), []);
    // The server took the absence for the default.
    assert.deepEqual(changedMembers(omitted, { ...rest, response_types: ['code'] }), ['response_types']);
    const withCode = clientMetadata({ ...desired, responseTypes: ['code'], emptyLists: false });
    assert.deepEqual(withCode['response_types'], ['code']);
  });

  test('what the platform adds comes with it, and takes nothing of ours', () => {
    const platform = { software_id: 'x', contacts: ['a@b'] };
    assert.deepEqual(clientMetadata({ ...desired, platform }), { ...tls, ...platform });
    const spec = {
      issuer: 'https://as.example',
      dynamicRegistration: {
        metadata: [
          { name: 'software_id', value: 'x' },
          { name: 'contacts', values: ['a@b'] },
          { name: 'require_signed_request_object', flag: false },
        ],
      },
    };
    assert.deepEqual(platformMetadata({ spec }), { ...platform, require_signed_request_object: false });
    assert.deepEqual(platformMetadata({ spec: { issuer: 'https://as.example' } }), {});
  });

  test('unbound tokens are asked for, never left out; what a server leaves out is unbound', () => {
    const unbound = clientMetadata({ ...desired, boundTokens: false });
    assert.equal(unbound['tls_client_certificate_bound_access_tokens'], false);
    const { tls_client_certificate_bound_access_tokens: _bound, ...silent } = unbound;
    assert.deepEqual(echoViolations(unbound, silent), []);
    const member = (asked: typeof tls, answered: typeof tls) => echoViolations(asked, answered).map((v) => v.member);
    assert.deepEqual(member(unbound, tls), ['tls_client_certificate_bound_access_tokens']);
    assert.deepEqual(member(tls, unbound), ['tls_client_certificate_bound_access_tokens']);
    assert.deepEqual(member(tls, silent), ['tls_client_certificate_bound_access_tokens']);
  });

  test('self_signed_tls_client_auth registers the keys and no subject', () => {
    assert.deepEqual(selfSigned['jwks'], { keys: [key('old'), key('new')] });
    assert.equal(selfSigned['client_name'], 'Batch [eu1/payments/batch]');
    assert.equal(
      Object.keys(selfSigned).some((member) => member.startsWith('tls_client_auth_')),
      false,
    );
  });
});

describe('what a server echoes', () => {
  const same: [string, Record<string, unknown>, Record<string, unknown>][] = [
    ['the same', tls, tls],
    ['lists in another order', tls, { ...tls, grant_types: ['refresh_token', 'client_credentials'], scope: 'b a' }],
    ['a DN in another case', tls, { ...tls, tls_client_auth_subject_dn: 'cn=Batch,o=Payments' }],
    [
      'nulls and empty strings for what is not set',
      tls,
      { ...tls, tls_client_auth_san_dns: null, tls_client_auth_san_uri: '', jwks_uri: null, jwks: { keys: [] } },
    ],
    ['a member of the platform as it was asked for', { ...tls, contacts: ['a@b'] }, { ...tls, contacts: ['a@b'] }],
    ['a member of the platform that the server does not know', { ...tls, software_id: 'x' }, tls],
    ['members that are not ours', tls, { ...tls, client_id: 'x', id_token_signed_response_alg: 'ES256' }],
    ['no empty lists', tls, { ...tls, response_types: undefined, redirect_uris: null }],
    ['no client_name', tls, { ...tls, client_name: undefined }],
    ['keys in another order', selfSigned, { ...selfSigned, jwks: { keys: [key('new'), key('old')] } }],
    [
      'keys with x5c alone',
      selfSigned,
      { ...selfSigned, jwks: { keys: [{ x5c: ['cert-old'] }, { x5c: ['cert-new'] }] } },
    ],
    [
      'keys with a thumbprint alone',
      selfSigned,
      { ...selfSigned, jwks: { keys: [{ 'x5t#S256': 'print-old' }, { 'x5t#S256': 'print-new' }] } },
    ],
    ['default scopes where none was asked for', { ...tls, scope: undefined }, { ...tls, scope: 'openid' }],
  ];
  for (const [name, asked, answered] of same) {
    test(`${name}: nothing to object to`, () => {
      assert.deepEqual(echoViolations(asked, answered), []);
      assert.deepEqual(changedMembers(asked, answered), []);
    });
  }

  const different: [string, Record<string, unknown>, Record<string, unknown>, string[]][] = [
    [
      'another method',
      tls,
      { ...tls, token_endpoint_auth_method: 'client_secret_basic' },
      ['token_endpoint_auth_method'],
    ],
    ['no method', tls, { ...tls, token_endpoint_auth_method: undefined }, ['token_endpoint_auth_method']],
    ['another subject', tls, { ...tls, tls_client_auth_subject_dn: 'CN=batch' }, ['tls_client_auth_subject_dn']],
    ['no subject', tls, { ...tls, tls_client_auth_subject_dn: null }, ['tls_client_auth_subject_dn']],
    [
      'a DN that is none',
      tls,
      { ...tls, tls_client_auth_subject_dn: 'CN=batch, O=payments' },
      ['tls_client_auth_subject_dn'],
    ],
    ['a second subject', tls, { ...tls, tls_client_auth_san_dns: 'evil.example' }, ['tls_client_auth_san_dns']],
    [
      'unbound tokens',
      tls,
      { ...tls, tls_client_certificate_bound_access_tokens: false },
      ['tls_client_certificate_bound_access_tokens'],
    ],
    [
      'a flag that is text',
      tls,
      { ...tls, tls_client_certificate_bound_access_tokens: 'true' },
      ['tls_client_certificate_bound_access_tokens'],
    ],
    [
      'another grant',
      tls,
      { ...tls, grant_types: ['client_credentials', 'refresh_token', 'password'] },
      ['grant_types'],
    ],
    ['fewer scopes', tls, { ...tls, scope: 'a' }, ['scope']],
    ['a redirect URI', tls, { ...tls, redirect_uris: ['https://evil.example'] }, ['redirect_uris']],
    ['another name', tls, { ...tls, client_name: 'x' }, ['client_name']],
    [
      'another value for a member of the platform',
      { ...tls, id_token_signed_response_alg: 'PS256' },
      { ...tls, id_token_signed_response_alg: 'RS256' },
      ['id_token_signed_response_alg'],
    ],
    [
      'a list of the platform cut short',
      { ...tls, contacts: ['a@b', 'c@d'] },
      { ...tls, contacts: ['a@b'] },
      ['contacts'],
    ],
    ['one key too few', selfSigned, { ...selfSigned, jwks: { keys: [key('old')] } }, ['jwks']],
    ['another key', selfSigned, { ...selfSigned, jwks: { keys: [key('old'), key('evil')] } }, ['jwks']],
    [
      'our kid with another certificate',
      selfSigned,
      { ...selfSigned, jwks: { keys: [key('old'), { ...key('new'), x5c: ['cert-evil'] }] } },
      ['jwks'],
    ],
    ['keys that are none', selfSigned, { ...selfSigned, jwks: 'x' }, ['jwks']],
    ['keys from elsewhere', selfSigned, { ...selfSigned, jwks_uri: 'https://evil.example' }, ['jwks_uri']],
    ['keys beside a subject', tls, { ...tls, jwks: { keys: [key('evil')] } }, ['jwks']],
    [
      'nothing',
      tls,
      {},
      [
        'token_endpoint_auth_method',
        'tls_client_auth_subject_dn',
        'tls_client_certificate_bound_access_tokens',
        'grant_types',
        'scope',
      ],
    ],
  ];
  for (const [name, asked, answered, members] of different) {
    test(`${name}: ${members.join(', ')}`, () => {
      assert.deepEqual(
        echoViolations(asked, answered).map(({ member }) => member),
        members,
      );
    });
  }

  test('a rejection says what was asked for and what came, on one line', () => {
    const error = metadataRejected(
      echoViolations(tls, {
        ...tls,
        token_endpoint_auth_method: 'client_secret_basic\nX',
        client_name: 'x'.repeat(1000),
      }),
    );
    assert.equal(error.code, 'MetadataRejected');
    assert.match(error.message, /asked: tls_client_auth; registered: client_secret_basic X/);
    assert.ok(error.message.length < 1000 && !/[\r\n]/.test(error.message));
  });
});

describe('what others changed', () => {
  const dn = (text: string) => ({ ...tls, tls_client_auth_subject_dn: text });
  const changes = (lastAnswer: object, found: object) =>
    changesByOthers(tls, { ...lastAnswer }, { ...found }).map(({ member }) => member);
  const subject = ['tls_client_auth_subject_dn'];

  const rows: [string, object, object, string[]][] = [
    ['nothing', tls, tls, []],
    ['a name', tls, dn('CN=other'), subject],
    ['the case of a name, which servers that compare text tell apart', tls, dn('CN=Batch,O=payments'), subject],
    ['spaces within a name', dn('CN=batch,O=payments'), dn('CN=batch\\ ,O=payments'), subject],
    ['how a name is written', tls, dn('cn=batch,2.5.4.10=#0c087061796d656e7473'), []],
    ['what the server itself made of the name', dn('CN=BATCH,O=payments'), dn('CN=BATCH,O=payments'), []],
    ['what is no name', tls, dn('batch'), subject],
    ['what never was one', dn('batch'), tls, []],
    ['a scope that the server had substituted', { ...tls, scope: 'a' }, { ...tls, scope: 'a' }, []],
    ['a scope', tls, { ...tls, scope: 'a' }, ['scope']],
  ];
  for (const [what, lastAnswer, found, members] of rows) {
    test(`${what}: ${members.join() || 'nothing'}`, () => assert.deepEqual(changes(lastAnswer, found), members));
  }

  test('the case of the CA’s name', () => {
    const ca = (name?: string) => ({ ...tls, tls_client_auth_ca_subject_dn: name });
    const members = (found: object) =>
      changesByOthers(ca('CN=A'), ca('CN=A'), { ...found }).map(({ member }) => member);
    assert.deepEqual(members(ca('CN=a')), ['tls_client_auth_ca_subject_dn']);
    assert.deepEqual(members(ca()), ['tls_client_auth_ca_subject_dn']);
    assert.deepEqual(changesByOthers(ca(), ca(), ca()), []);
  });
});

describe('the body of an update', () => {
  test('starts from the last answer, without what must not be sent', () => {
    const last = {
      ...tls,
      client_id: 'c',
      software_version: '1',
      registration_access_token: 'rat',
      registration_client_uri: 'https://as/reg/c',
      client_id_issued_at: 1,
      client_secret_expires_at: 0,
      client_secret: 's',
      jwks_uri: 'https://old.example',
      policy_uri: null,
    };
    assert.deepEqual(updateBody(last, selfSigned), { ...selfSigned, client_id: 'c', software_version: '1' });
  });
});
