/** One round of the live proof at a real terminator, with a certificate that a client has; and what the operator's own came to. */
import { proofCertificates } from '../../src/terminator/proof/certificates.ts';
import { roundAt } from '../../src/terminator/proof/round.ts';
import { judge } from '../../src/terminator/proof/verdict.ts';
import type { OperatorProcess } from './operator.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface LiveRound {
  /** Who was asked as, and what came of it, each once: `none alert`, `canary 404`. */
  seen: readonly string[];
  /** Who got in, or was refused, otherwise than where a certificate is required. */
  violated: readonly string[];
  unclear: string | undefined;
}

export interface AskedAt {
  /** Default 127.0.0.1. */
  ip?: string;
  port: number;
  host: string;
  laxHost?: string;
}

export async function liveRound(
  { ip = '127.0.0.1', port, host, laxHost }: AskedAt,
  { client, bundlePem }: { client: KeyPairPem; bundlePem: string },
): Promise<LiveRound> {
  const signal = AbortSignal.timeout(60_000);
  const sign = () => Promise.reject(new Error('nobody signs'));
  const { foreign } = await proofCertificates([], { sign, bundlePem, now: Date.now() }, signal);
  const canaries = [{ issuer: 'corporate-clients', chainPem: client.certPem, privateKeyPem: client.keyPem }];
  const proved = { host, mode: 'required', laxHost } as const;
  const { observations } = await roundAt({ ip, port }, proved, { canaries, foreign }, signal);
  const { violations, unclear } = judge('required', observations);
  const seen = observations.map(
    ({ case: asked, outcome }) => `${asked} ${outcome.kind === 'answer' ? outcome.status : outcome.kind}`,
  );
  return {
    seen: [...new Set(seen)].toSorted(),
    violated: [...new Set(violations.map((violation) => violation.case))].toSorted(),
    unclear,
  };
}

/** Hosts of a controller by what the operator's own rounds have shown; NaN before anybody was asked. */
export async function provedHosts(operator: Pick<OperatorProcess, 'metrics'>, state: string): Promise<number> {
  const pattern = new RegExp(`^certbound_terminator_hosts\\{[^}]*state="${state}"\\} (\\d+)$`, 'm');
  return Number(pattern.exec(await operator.metrics())?.[1]);
}
