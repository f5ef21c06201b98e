import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, test } from 'node:test';
import { generateKeyPair, keyDigest, keyMatchesCertificate, publicKeyDerOf } from '../../src/x509/key.ts';
import { clientKey, testCa, testLeaf } from './authority.ts';
import { openssl } from './openssl.ts';

describe('generateKeyPair', () => {
  for (const [algorithm, size, described] of [
    ['ECDSA', 256, /ASN1 OID: prime256v1/],
    ['ECDSA', 384, /ASN1 OID: secp384r1/],
    ['RSA', 2048, /Private-Key: \(2048 bit/],
    ['RSA', 3072, /Private-Key: \(3072 bit/],
  ] as const) {
    test(`${algorithm} ${size}: PKCS#8 that openssl reads, and its public half`, async () => {
      const { privateKeyPem, publicKeyDer } = await generateKeyPair({ algorithm, size });
      assert.match(privateKeyPem, /^-----BEGIN PRIVATE KEY-----\n/);
      assert.match(await openssl(['pkey', '-in', 'k.pem', '-noout', '-text'], { 'k.pem': privateKeyPem }), described);
      const expected = createPublicKey(createPrivateKey(privateKeyPem)).export({ type: 'spki', format: 'der' });
      assert.deepEqual(Buffer.from(publicKeyDer), expected);
      assert.deepEqual(Buffer.from(publicKeyDerOf(privateKeyPem)), expected);
      assert.equal(keyDigest(privateKeyPem), keyDigest(publicKeyDer));
    });
  }

  test('refuses sizes that are too weak or unknown', async () => {
    await assert.rejects(generateKeyPair({ algorithm: 'RSA', size: 1024 }), RangeError);
    await assert.rejects(generateKeyPair({ algorithm: 'ECDSA', size: 521 }), RangeError);
  });

  test('the main thread goes on while an RSA key is made', async () => {
    let ticks = 0;
    const counter = setInterval(() => (ticks += 1), 1);
    await generateKeyPair({ algorithm: 'RSA', size: 4096 });
    clearInterval(counter);
    assert(ticks > 2, `${ticks} turns of the event loop`);
  });
});

test('keyMatchesCertificate', async () => {
  const leaf = await testLeaf(await testCa());
  const other = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
  const rsa = await generateKeyPair({ algorithm: 'RSA', size: 2048 });
  assert.equal(keyMatchesCertificate(clientKey.privateKeyPem, leaf), true);
  assert.equal(keyMatchesCertificate(other.privateKeyPem, leaf), false);
  assert.equal(keyMatchesCertificate(rsa.privateKeyPem, leaf), false);
  assert.notEqual(keyDigest(other.privateKeyPem), keyDigest(clientKey.privateKeyPem));
});
