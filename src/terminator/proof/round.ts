/** Everything that is asked of one host at one address. */
import { randomBytes } from 'node:crypto';
import { certificatesFromPem } from '../../x509/pem.ts';
import type { ClientCertificates } from '../driver.ts';
import { addressText, type ResolvedAddress } from './addresses.ts';
import { type Call, callTerminator, sessionOf } from './call.ts';
import type { ProofCertificates } from './certificates.ts';
import type { AddressRound, Case, Observation } from './outcome.ts';
import { isAsked } from './verdict.ts';

export interface ProvedHost {
  /** As a caller writes it. */
  host: string;
  mode: ClientCertificates;
  /** A host of the same terminator that asks for no certificate, if there is one. */
  laxHost: string | undefined;
}

const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Over one connection after the other. It ends with the first that has no answer: nobody waits for each of the rest. */
export async function roundAt(
  address: ResolvedAddress,
  proved: ProvedHost,
  certificates: ProofCertificates,
  signal: AbortSignal,
): Promise<AddressRound> {
  const observations: Observation[] = [];
  for await (const observation of observe({ ...address, host: proved.host }, proved, certificates, signal)) {
    observations.push(observation);
    if (observation.outcome.kind === 'unreachable') break;
  }
  signal.throwIfAborted();
  return { address: addressText(address), observations };
}

async function* observe(
  base: Pick<Call, 'ip' | 'port' | 'host'>,
  { host, mode, laxHost }: ProvedHost,
  { canaries, foreign }: ProofCertificates,
  signal: AbortSignal,
): AsyncGenerator<Observation> {
  const ask = async (asked: Case, call: Partial<Call> = {}): Promise<Observation> => ({
    case: asked,
    outcome: (await callTerminator({ ...base, ...call }, signal)).outcome,
  });
  yield ask('none');
  for (const { issuer, ...certificate } of canaries) yield { ...(await ask('canary', { certificate })), issuer };
  yield ask('foreign', { certificate: foreign });
  if (isAsked('forged', mode))
    yield ask('forged', { headers: forgedHeaders(canaries[0]?.chainPem ?? foreign.chainPem) });
  if (!isAsked('resumed', mode)) return;
  for (const donor of [host, ...(laxHost === undefined ? [] : [laxHost]), nobodysHost()]) {
    for (const version of versions) {
      const session = await sessionOf({ ...base, host: donor, version }, signal);
      if (session === undefined) continue;
      const { outcome, sessionReused } = await callTerminator({ ...base, session, version }, signal);
      // A new handshake in its place has been asked for already.
      if (sessionReused) yield { case: 'resumed', outcome };
    }
  }
}

/** Where terminators that know no such host answer by their default server. */
function nobodysHost(): string {
  return `${randomBytes(8).toString('hex')}.certbound-proof.invalid`;
}

/** Names and formats of `src/verifier/terminators.ts`: the host's product may not be the one that something behind it believes. */
function forgedHeaders(chainPem: string): Readonly<Record<string, string>> {
  const [leaf] = certificatesFromPem(chainPem);
  const base64 = leaf?.raw.toString('base64') ?? '';
  const pem = encodeURIComponent(leaf?.toString() ?? '');
  return {
    'ssl-client-cert': pem,
    'ssl-client-verify': 'SUCCESS',
    'x-forwarded-tls-client-cert': base64,
    'x-ssl-client-cert': base64,
    'x-ssl-client-der': base64,
    'x-ssl-client-verify': '0',
    'x-forwarded-client-cert': `Cert="${pem}"`,
    'x-amzn-mtls-clientcert-leaf': pem,
    'x-client-cert-leaf': `:${base64}:`,
    'x-client-cert-chain-verified': 'true',
    'client-cert': `:${base64}:`,
  };
}
