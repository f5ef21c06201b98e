import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SelfSignedIssuer } from '../../src/issuer/self-signed.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { certificateFromPem } from '../../src/x509/pem.ts';
import { issuerContract } from './contract.ts';
import { issuerObject } from './issuers.ts';

const driver = new SelfSignedIssuer();
const now = Date.now();
const issuer = (maxDuration: string) => issuerObject('self', { selfSigned: {}, policy: { maxDuration } });

describe('self-signed issuer', () => {
  issuerContract(() => ({
    driver,
    issuer,
    now,
    // It is no CA, so it is an anchor only where openssl is told to take any certificate as one.
    verifyArgs: ['-partial_chain', '-purpose', 'sslclient'],
    emptySubjectBesideSan: false,
  }));

  test('is one certificate that vouches for itself', async () => {
    const { privateKeyPem } = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
    const request = {
      subject: { uri: `https://example.org/${'a'.repeat(200)}` },
      privateKeyPem,
      durationMs: 60_000,
      now,
    };
    const { chainPem, caPem } = await driver.sign(issuer('1h'), request, AbortSignal.timeout(60_000));
    assert.equal(chainPem, caPem);
    const certificate = certificateFromPem(chainPem);
    assert.equal(certificate.verify(certificate.publicKey), true);
    assert.equal(certificate.ca, false);
    assert.equal(certificate.subject, certificate.issuer);
  });
});
