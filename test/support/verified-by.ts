import type { CertificateVerification } from '../../src/verifier/certificate-header.ts';
import { type TerminatorName, terminators } from '../../src/verifier/terminators.ts';

/** What may be asked of this terminator on hosts where it verifies. */
export function verifiedBy(terminator: TerminatorName): CertificateVerification {
  return terminators[terminator].verification === 'byConfiguration' ? 'assumed' : 'required';
}
