import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { calculateJwkThumbprint, importJWK } from 'jose';
import { certificateJwk } from '../../src/x509/certificate-jwk.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { x5tS256 } from '../../src/x509/thumbprint.ts';
import { clientKey, testCa, testLeaf } from './authority.ts';

const appendixA = readFileSync(new URL('../vectors/rfc8705-appendix-a.pem', import.meta.url), 'utf8');
const APPENDIX_A_THUMBPRINT = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0';

test('x5t#S256 of the certificate of RFC 8705 Appendix A', () => {
  const certificate = new X509Certificate(appendixA);
  assert.equal(x5tS256(certificate), APPENDIX_A_THUMBPRINT);
  assert.equal(x5tS256(certificate.raw), APPENDIX_A_THUMBPRINT);
});

describe('certificateJwk', () => {
  test('an EC certificate: the members that servers match on, and no others', async () => {
    const leaf = await testLeaf(await testCa());
    const jwk = await certificateJwk(leaf);
    assert.deepEqual(Object.keys(jwk).toSorted(), ['crv', 'kid', 'kty', 'use', 'x', 'x5c', 'x5t#S256', 'y']);
    assert.equal(jwk.use, 'sig');
    assert.equal(jwk.kid, await calculateJwkThumbprint(jwk));
    assert.equal(jwk['x5t#S256'], x5tS256(new X509Certificate(leaf)));
    assert.deepEqual(Buffer.from(jwk.x5c?.[0] ?? '', 'base64'), new X509Certificate(leaf).raw);
    const key = await importJWK(jwk, 'ES256');
    assert.equal(key instanceof Uint8Array ? 'secret' : key.type, 'public');
  });

  test('an RSA certificate', async () => {
    const { publicKeyDer } = await generateKeyPair({ algorithm: 'RSA', size: 2048 });
    const jwk = await certificateJwk(await testLeaf(await testCa(), { publicKeyDer }));
    assert.deepEqual(Object.keys(jwk).toSorted(), ['e', 'kid', 'kty', 'n', 'use', 'x5c', 'x5t#S256']);
    assert.equal(jwk.kty, 'RSA');
  });

  test('of a chain, the leaf alone', async () => {
    const ca = await testCa();
    const leaf = await testLeaf(ca);
    assert.deepEqual(await certificateJwk(leaf + ca.certificatePem), await certificateJwk(leaf));
  });

  test('the certificate of RFC 8705 Appendix A', async () => {
    assert.equal((await certificateJwk(appendixA))['x5t#S256'], APPENDIX_A_THUMBPRINT);
  });

  test('nothing of a private key gets in', async () => {
    await assert.rejects(certificateJwk(clientKey.privateKeyPem), { code: 'InvalidPEM' });
  });
});
