/** One round of the live proof at a real terminator, with a certificate that a client has; and what the operator's own came to. */
import assert from 'node:assert/strict';
import { proofCertificates } from '../../src/terminator/proof/certificates.ts';
import { roundAt } from '../../src/terminator/proof/round.ts';
import { judge } from '../../src/terminator/proof/verdict.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import type { OperatorProcess } from '../support/operator.ts';

export interface LiveRound {
  /** Who was asked as, and what came of it: `none alert`, `canary 404`. */
  seen: readonly string[];
  /** Who got in, or was refused, otherwise than where a certificate is required. */
  violated: readonly string[];
  unclear: string | undefined;
}

export async function liveRound(
  { port, host, laxHost }: { port: number; host: string; laxHost?: string | undefined },
  { client, bundlePem }: { client: KeyPairPem; bundlePem: string },
): Promise<LiveRound> {
  const signal = AbortSignal.timeout(60_000);
  const sign = () => Promise.reject(new Error('nobody signs'));
  const { foreign } = await proofCertificates([], { sign, bundlePem, now: Date.now() }, signal);
  const canaries = [{ issuer: 'corporate-clients', chainPem: client.certPem, privateKeyPem: client.keyPem }];
  const proved = { host, mode: 'required', laxHost } as const;
  const { observations } = await roundAt({ ip: '127.0.0.1', port }, proved, { canaries, foreign }, signal);
  const { violations, unclear } = judge('required', observations);
  return {
    seen: observations.map(
      ({ case: asked, outcome }) => `${asked} ${outcome.kind === 'answer' ? outcome.status : outcome.kind}`,
    ),
    violated: [...new Set(violations.map((violation) => violation.case))],
    unclear,
  };
}

/** Hosts of a controller by what the operator's own rounds have shown. */
export async function provedHosts(operator: Pick<OperatorProcess, 'metrics'>, state: string): Promise<number> {
  const pattern = new RegExp(`^certbound_terminator_hosts\\{[^}]*state="${state}"\\} (\\d+)$`, 'm');
  const [, count] = pattern.exec(await operator.metrics()) ?? [];
  assert.ok(count !== undefined, 'nobody was asked');
  return Number(count);
}
