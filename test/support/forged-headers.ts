/** What a terminator would say of a client's certificate, said by somebody who has no key of it. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { decodeCertificateHeader } from '../../src/verifier/certificate-header.ts';
import type { TerminatorName } from '../../src/verifier/terminators.ts';
import { sentBy } from '../verifier/product-headers.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { verifiedBy } from './verified-by.ts';

/** Of the leaf alone, whatever chain is with it: with more than that nobody would believe it, and a test would show nothing. */
export function forgedHeaders(
  terminator: TerminatorName,
  { certPem }: Pick<KeyPairPem, 'certPem'>,
): Record<string, string> {
  const { raw } = new X509Certificate(certPem);
  const lines = sentBy(terminator, raw);
  const read = decodeCertificateHeader(lines, { terminator, verification: verifiedBy(terminator) });
  assert.ok(read.ok && raw.equals(read.der), 'an API that is reached with it believes it');
  return Object.fromEntries(Object.entries(lines).map(([name, values]) => [name, values?.[0] ?? '']));
}
