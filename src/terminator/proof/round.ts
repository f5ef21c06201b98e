/** Everything that is asked of one host at one address. */
import { randomBytes } from 'node:crypto';
import { certificatesFromPem } from '../../x509/pem.ts';
import type { ClientCertificates } from '../driver.ts';
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

/** One after the other: a terminator that is asked by us is asked by a single connection at a time. */
export async function roundAt(
  { ip, port }: Pick<Call, 'ip' | 'port'>,
  { host, mode, laxHost }: ProvedHost,
  { canaries, foreign }: ProofCertificates,
  signal: AbortSignal,
): Promise<AddressRound> {
  const base = { ip, port, host };
  const observations: Observation[] = [];
  const ask = async (asked: Case, call: Partial<Call>, issuer?: string): Promise<void> => {
    const { outcome, sessionReused } = await callTerminator({ ...base, ...call }, signal);
    // A new handshake in its place has been asked for already.
    if (asked === 'resumed' && !sessionReused) return;
    observations.push({ case: asked, outcome, ...(issuer === undefined ? {} : { issuer }) });
  };
  await ask('none', {});
  if (observations[0]?.outcome.kind !== 'unreachable') {
    for (const { issuer, ...certificate } of canaries) await ask('canary', { certificate }, issuer);
    await ask('foreign', { certificate: foreign });
    if (isAsked('forged', mode))
      await ask('forged', { headers: forgedHeaders(canaries[0]?.chainPem ?? foreign.chainPem) });
    if (isAsked('resumed', mode)) {
      for (const donor of [host, ...(laxHost === undefined ? [] : [laxHost]), nobodysHost()]) {
        for (const version of versions) {
          const session = await sessionOf({ ip, port, host: donor, version }, signal);
          if (session !== undefined) await ask('resumed', { session, version });
        }
      }
    }
  }
  signal.throwIfAborted();
  return { address: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`, observations };
}

/** Where terminators that know no such host answer by their default server. */
function nobodysHost(): string {
  return `${randomBytes(8).toString('hex')}.certbound-proof.invalid`;
}

/** Names and formats of `src/verifier/terminators.ts`: the host's product may not be the one that something behind it believes. */
function forgedHeaders(chainPem: string): Readonly<Record<string, string>> {
  const [leaf] = certificatesFromPem(chainPem);
  const der = leaf?.raw ?? Buffer.alloc(0);
  const base64 = der.toString('base64');
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
