import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { AuthorizationServerSpec } from '../../src/api/authorization-server.ts';
import { readCredentials, secretNames } from '../../src/authserver/credentials.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { lasting } from './servers.ts';

const issuer = 'https://as.example.test/realms/corporate';
const bySecret: AuthorizationServerSpec = {
  issuer,
  keycloak: { clientId: 'certbound', clientSecretRef: { name: 'keycloak', key: 'secret' } },
};
const byCertificate: AuthorizationServerSpec = {
  issuer,
  keycloak: { clientId: 'certbound', clientCertificateSecretRef: { name: 'operator-oauth' } },
};
const token: AuthorizationServerSpec = {
  issuer,
  dynamicRegistration: { initialAccessTokenSecretRef: { name: 'initial', key: 'token' } },
};

const read = (spec: AuthorizationServerSpec, values: Record<string, string>) =>
  readCredentials((name, key) => Promise.resolve(values[`${name}/${key}`]), { spec }, lasting());

describe('credentials of a server', () => {
  let pair: KeyPairPem;
  let other: KeyPairPem;
  before(async () => {
    pair = await createClientCertificate({ subject: 'CN=a' });
    other = await createClientCertificate({ subject: 'CN=b' });
  });
  const certificate = (certPem: string, keyPem: string) => ({
    'operator-oauth/tls.crt': certPem,
    'operator-oauth/tls.key': keyPem,
  });

  test('are what the spec refers to, and nothing else', async () => {
    const nothing = { initialAccessToken: undefined, softwareStatement: undefined };
    assert.deepEqual(await read({ issuer, dynamicRegistration: {} }, {}), nothing);
    assert.deepEqual(await read(token, { 'initial/token': 'a-token' }), { ...nothing, initialAccessToken: 'a-token' });
    assert.deepEqual(await read(bySecret, { 'keycloak/secret': 'top secret' }), {
      management: { clientId: 'certbound', proof: { clientSecret: 'top secret' } },
    });
    assert.deepEqual(await read(byCertificate, certificate(pair.certPem, pair.keyPem)), {
      management: { clientId: 'certbound', proof: { chainPem: pair.certPem, privateKeyPem: pair.keyPem } },
    });
    assert.deepEqual([token, bySecret, byCertificate].map(secretNames), [
      ['initial'],
      ['keycloak'],
      ['operator-oauth'],
    ]);
  });

  test('that are missing are named, with what to put there', async () => {
    const missing = (says: RegExp) => ({ code: 'CredentialMissing', message: says });
    await assert.rejects(
      read(token, {}),
      missing(/no key "token" in Secret "initial".*the initial access token there/),
    );
    await assert.rejects(
      read(bySecret, {}),
      missing(/no key "secret" in Secret "keycloak".*secret of client "certbound"/),
    );
    await assert.rejects(read(byCertificate, {}), missing(/no key "tls\.crt" in Secret "operator-oauth"/));
    const half = { 'operator-oauth/tls.crt': pair.certPem };
    await assert.rejects(read(byCertificate, half), missing(/no key "tls\.key" in Secret "operator-oauth"/));
  });

  test('that can’t be used say so, and not what they are', async () => {
    const rows: [AuthorizationServerSpec, Record<string, string>, RegExp][] = [
      [token, { 'initial/token': 'two words' }, /no bearer token/],
      [bySecret, { 'keycloak/secret': 'with\ttab' }, /no client_secret/],
      [byCertificate, certificate(pair.certPem, other.keyPem), /not the private key of tls\.crt/],
      [byCertificate, certificate('no certificate', pair.keyPem), /not the private key of tls\.crt/],
      [byCertificate, certificate(pair.certPem, 'no key'), /not the private key of tls\.crt/],
    ];
    for (const [spec, values, message] of rows) {
      await assert.rejects(read(spec, values), (error: Error) => {
        assert.match(error.message, message);
        for (const value of Object.values(values)) assert.ok(!error.message.includes(value));
        return true;
      });
    }
  });
});
