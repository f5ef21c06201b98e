/** A CA for tests, and the key pairs and leaves that they need. */
import { createCa, signLeaf, type Ca, type CaRequest, type LeafRequest } from '../../src/x509/certificate.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { generateKeyPair, type KeyAlgorithm } from '../../src/x509/key.ts';
import { loadSigner } from '../../src/x509/signer.ts';

export const now = new Date('2026-03-01T12:00:00.789Z');
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
export const P256: KeyAlgorithm = { algorithm: 'ECDSA', size: 256 };

export function testCa(name = 'CN=ca,O=test', options: Partial<CaRequest> = {}): Promise<Ca> {
  return createCa({ dn: parseDn(name), ...P256, duration: 10 * DAY, now, ...options });
}

export const clientKey = await generateKeyPair(P256);

export function testLeaf(ca: Ca, options: Partial<LeafRequest> = {}): Promise<string> {
  const subject = { dn: parseDn('CN=payments-batch,O=payments') };
  const request = { subject, publicKeyDer: clientKey.publicKeyDer, duration: DAY, now, ...options };
  return signLeaf(request, loadSigner(ca.certificatePem, ca.privateKeyPem));
}
