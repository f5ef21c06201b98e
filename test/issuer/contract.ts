/** What every issuer driver must do; run once a driver, and read with the real openssl. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import type { Issued, IssuerDriver } from '../../src/issuer/issuer.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { generateKeyPair, keyDigest, keyMatchesCertificate } from '../../src/x509/key.ts';
import { certificatesFromPem } from '../../src/x509/pem.ts';
import type { SubjectName } from '../../src/x509/subject-name.ts';
import { openssl } from '../x509/openssl.ts';

export interface Subject {
  driver: IssuerDriver;
  /** An issuer of the driver's kind with spec.policy.maxDuration. */
  issuer: (maxDuration: string) => ClientCertificateIssuer;
  /** Epoch milliseconds at which it can sign. */
  now: number;
  /** How openssl is asked to verify a leaf. */
  verifyArgs: readonly string[];
  /** Whether a leaf that has a subject alternative name has no subject. */
  emptySubjectBesideSan: boolean;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const lasting = () => AbortSignal.timeout(60_000);
const ec = { algorithm: 'ECDSA', size: 256 } as const;

const subjects: readonly { subject: SubjectName; dn?: string; san?: string }[] = [
  { subject: { dn: parseDn('CN=batch,O=payments') }, dn: 'CN=batch,O=payments' },
  { subject: { dn: parseDn('CN=a\\, CN\\=admin,OU=\\#x,C=DE') }, dn: 'CN=a\\, CN=admin,OU=\\#x,C=DE' },
  { subject: { dnsName: 'batch.payments.example' }, san: 'DNS:batch.payments.example' },
  { subject: { uri: 'spiffe://example.org/ns/payments/batch' }, san: 'URI:spiffe://example.org/ns/payments/batch' },
  { subject: { ipAddress: '192.0.2.7' }, san: 'IP Address:192.0.2.7' },
  { subject: { ipAddress: '2001:db8::7' }, san: 'IP Address:2001:DB8:0:0:0:0:0:7' },
  { subject: { emailAddress: 'batch@example.org' }, san: 'email:batch@example.org' },
];

function leafOf({ chainPem }: Issued) {
  const [leaf] = certificatesFromPem(chainPem);
  assert.ok(leaf !== undefined);
  return leaf;
}

const x509 = (issued: Issued, ...args: string[]) =>
  openssl(['x509', '-in', 'leaf.pem', '-noout', ...args], { 'leaf.pem': issued.chainPem });

export function issuerContract(subjectOf: () => Subject): void {
  const sign = async (
    options: { subject?: SubjectName; durationMs?: number; maxDuration?: string; key?: string } = {},
  ): Promise<Issued & { key: string }> => {
    const { driver, issuer, now } = subjectOf();
    const key = options.key ?? (await generateKeyPair(ec)).privateKeyPem;
    const request = {
      subject: options.subject ?? { dn: parseDn('CN=batch,O=payments') },
      privateKeyPem: key,
      durationMs: options.durationMs ?? HOUR_MS,
      now,
    };
    return { ...(await driver.sign(issuer(options.maxDuration ?? '720h'), request, lasting())), key };
  };

  for (const { subject, dn, san } of subjects) {
    test(`names exactly ${dn ?? san}, and openssl verifies it as a client`, async () => {
      const issued = await sign({ subject });
      const named = await x509(issued, '-subject', '-nameopt', 'RFC2253', '-ext', 'subjectAltName');
      const shown = await x509(issued, '-subject', '-nameopt', 'RFC2253');
      if (dn !== undefined) {
        assert.equal(shown.trim(), `subject=${dn}`);
        assert.doesNotMatch(named, /Subject Alternative Name/);
      } else {
        const values = named.split('\n').map((line) => line.trim());
        assert.ok(
          values.some((line) => line === san),
          named,
        );
        if (subjectOf().emptySubjectBesideSan) assert.equal(shown.trim(), 'subject=');
      }
      const files = { 'leaf.pem': issued.chainPem, 'ca.pem': issued.caPem };
      const answer = await openssl(
        ['verify', ...subjectOf().verifyArgs, '-CAfile', 'ca.pem', '-untrusted', 'leaf.pem', 'leaf.pem'],
        files,
      );
      assert.match(answer, /leaf\.pem: OK/);
    });
  }

  test('is valid from a little back, for as long as was asked', async () => {
    const { now } = subjectOf();
    const leaf = leafOf(await sign({ durationMs: 6 * HOUR_MS }));
    assert.equal(leaf.validToDate.getTime(), Math.floor((now + 6 * HOUR_MS) / 1000) * 1000);
    assert.ok(leaf.validFromDate.getTime() <= now);
    assert.ok(leaf.validFromDate.getTime() >= now - 5 * MINUTE_MS - 1000);
  });

  test('lives no longer than the policy allows', async () => {
    const { now } = subjectOf();
    const leaf = leafOf(await sign({ durationMs: 48 * HOUR_MS, maxDuration: '2h' }));
    assert.equal(leaf.validToDate.getTime(), Math.floor((now + 2 * HOUR_MS) / 1000) * 1000);
  });

  for (const algorithm of [
    { algorithm: 'ECDSA', size: 256 },
    { algorithm: 'ECDSA', size: 384 },
    { algorithm: 'RSA', size: 2048 },
  ] as const) {
    test(`certifies the key that was given: ${algorithm.algorithm} ${algorithm.size}`, async () => {
      const { privateKeyPem, publicKeyDer } = await generateKeyPair(algorithm);
      const issued = await sign({ key: privateKeyPem });
      assert.equal(keyMatchesCertificate(privateKeyPem, issued.chainPem), true);
      const public_ = leafOf(issued).publicKey.export({ type: 'spki', format: 'der' });
      assert.equal(keyDigest(public_), keyDigest(publicKeyDer));
      assert.doesNotMatch(issued.chainPem + issued.caPem, /PRIVATE/);
    });
  }

  test('is an end entity for client authentication alone, v3, with key identifiers', async () => {
    const text = await x509(await sign(), '-text');
    assert.match(text, /Version: 3 /);
    assert.match(text, /X509v3 Basic Constraints: critical\s+CA:FALSE/);
    assert.match(text, /X509v3 Key Usage: critical\s+Digital Signature\n/);
    assert.match(text, /X509v3 Extended Key Usage: ?\s+TLS Web Client Authentication\n/);
    assert.match(text, /X509v3 Subject Key Identifier/);
    assert.match(text, /X509v3 Authority Key Identifier/);
  });

  test('gives every certificate a serial number of its own: positive, at most 20 octets', async () => {
    const { privateKeyPem } = await generateKeyPair(ec);
    const issued = await Promise.all(Array.from({ length: 40 }, () => sign({ key: privateKeyPem })));
    const serials = issued.map((one) => leafOf(one).serialNumber);
    assert.equal(new Set(serials).size, serials.length);
    for (const serial of serials) assert.match(serial, /^[0-9A-F]{16,40}$/);
  });

  test('rejects what is no key, and a subject that no certificate may have, with a stable code', async () => {
    await assert.rejects(sign({ key: 'no key' }), { name: 'OperatorError', code: 'InvalidPEM' });
    await assert.rejects(sign({ subject: { dnsName: '*.example.org' } }), { code: 'InvalidSubject' });
  });

  test('signs nothing once the signal has aborted', async () => {
    const { driver, issuer, now } = subjectOf();
    const { privateKeyPem } = await generateKeyPair(ec);
    const reason = new Error('deadline');
    const request = { subject: { dnsName: 'a.example.org' }, privateKeyPem, durationMs: HOUR_MS, now };
    await assert.rejects(driver.sign(issuer('720h'), request, AbortSignal.abort(reason)), reason);
  });
}
