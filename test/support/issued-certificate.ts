import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { openssl } from '../x509/openssl.ts';

const BACKDATED_MS = 5 * 60_000;

export interface Expected {
  subject: string;
  durationMs: number;
  /** Epoch milliseconds between which it was signed. */
  signed: { after: number; before: number };
}

/** What openssl reads in a published Secret is a client certificate as protocols say, and its chain is whole. */
export async function assertClientCertificate(values: Record<string, string>, expected: Expected): Promise<void> {
  const leafPem = values['tls.crt'] ?? '';
  const caPem = values['client-ca.crt'] ?? '';
  const files = { 'leaf.pem': leafPem, 'ca.pem': caPem, 'key.pem': values['tls.key'] ?? '' };
  const text = await openssl(['x509', '-in', 'leaf.pem', '-noout', '-text'], files);
  assert.match(text, /Version: 3 \(0x2\)/);
  assert.match(text, /Basic Constraints: critical\s+CA:FALSE\n/);
  assert.match(text, /X509v3 Key Usage: critical\s+Digital Signature\n/);
  assert.match(text, /Extended Key Usage:\s+TLS Web Client Authentication\n/);
  assert.match(text, /Subject Key Identifier:\s+[0-9A-F:]{59}\n/);
  assert.match(text, /Authority Key Identifier:\s+(keyid:)?[0-9A-F:]{59}\n/);
  const subject = await openssl(['x509', '-in', 'leaf.pem', '-noout', '-subject', '-nameopt', 'RFC2253'], files);
  assert.equal(subject.trim(), `subject=${expected.subject}`);
  const verified = await openssl(['verify', '-purpose', 'sslclient', '-CAfile', 'ca.pem', 'leaf.pem'], files);
  assert.equal(verified.trim(), 'leaf.pem: OK');
  assert.equal(
    await openssl(['pkey', '-in', 'key.pem', '-pubout'], files),
    await openssl(['x509', '-in', 'leaf.pem', '-noout', '-pubkey'], files),
  );

  const leaf = new X509Certificate(leafPem);
  const ca = new X509Certificate(caPem);
  assert.match(leaf.serialNumber, /^[0-7][0-9A-F]{15,39}$/, 'positive, 64 bits to 20 octets');
  assert.equal(createHash('sha256').update(leaf.raw).digest('base64url'), values['x5t_s256']);
  assert.equal(values['tls-bundle.pem'], `${files['key.pem'].trimEnd()}\n${leafPem}`);
  const second = 1000;
  const earliest = expected.signed.after - second;
  const latest = expected.signed.before + second;
  const notBefore = leaf.validFromDate.getTime();
  const notAfter = leaf.validToDate.getTime();
  assert.ok(notBefore >= Math.max(earliest - BACKDATED_MS, leaf.raw.equals(ca.raw) ? 0 : ca.validFromDate.getTime()));
  assert.ok(notBefore <= Math.max(latest - BACKDATED_MS, ca.validFromDate.getTime()));
  assert.ok(notAfter >= earliest + expected.durationMs && notAfter <= latest + expected.durationMs);
}
