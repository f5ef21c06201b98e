import type { ClientCertificateIssuer } from '../../api/client-certificate-issuer.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Result } from '../../runtime/controller.ts';
import type { Group } from '../../runtime/workqueue.ts';
import type { Logger, TerminatorProofMetrics } from '../../telemetry.ts';
import type { ClientCertificates } from '../driver.ts';
import { parseScopeKey } from '../scope.ts';
import {
  addressText,
  mostAddresses,
  type ResolvedAddress,
  resolveAddresses,
  type TerminatorAddress,
} from './addresses.ts';
import { proofCertificates, type ProofCertificates, type Sign } from './certificates.ts';
import type { AddressRound } from './outcome.ts';
import type { ProofResults } from './results.ts';
import { roundAt } from './round.ts';
import { delayOf, type HostProof, proofAfter, stateOf, unasked, UNPROVED } from './verdict.ts';

/** What is configured for a scope, and what it promises. */
export interface ProofSubject {
  controller: string;
  /** Names of those that have it so. */
  frontends: readonly string[];
  /** `proofHosts` of its frontends. */
  hosts: readonly string[];
  mode: ClientCertificates;
  /** Name of the AuthorizationServer. */
  server: string;
  /** Those with a CA that the hosts are to trust. */
  issuers: readonly ClientCertificateIssuer[];
  /** All CAs that the hosts are to trust. */
  bundlePem: string | undefined;
  /** A host of the same controller that asks for no certificates. */
  laxHost: string | undefined;
  /** With another one everything is to be proved anew. */
  basis: string;
  /** By when terminators have loaded it, epoch milliseconds. */
  settledAt: number;
  intervalMs: number;
}

export interface TerminatorProofsOptions {
  /** By controller, or for one frontend (`Gateway identity/mtls`) that has terminators of its own. */
  addresses: ReadonlyMap<string, readonly TerminatorAddress[]>;
  /** Undefined for a scope of which nothing is configured that could be proved. */
  subjectOf: (key: string) => ProofSubject | undefined;
  sign: Sign;
  results: ProofResults;
  clock: Clock;
  logger: Logger;
  metrics?: TerminatorProofMetrics | undefined;
  /** A host of the scope is proved or disproved, or is neither any longer. */
  onChange: (key: string, server: string) => void;
}

interface Known {
  subject: ProofSubject;
  /** Epoch milliseconds of the next round. */
  due: number;
}

interface Asked {
  subject: ProofSubject;
  certificates: ProofCertificates;
  /** Addresses that did not answer in this round; more are added. */
  silent: Set<ResolvedAddress>;
}

/** More of one scope are left out. */
const mostHosts = 16;
/** Of a controller whose addresses hang, so that others have their turn. */
const mostOfOne = 2;

/**
 * The live proof: whether terminators do what they are configured to do. A job of its own beside the passes; whoever hangs
 * holds up nobody but its own controller's hosts.
 */
export class TerminatorProofs {
  readonly #options: TerminatorProofsOptions;
  readonly #known = new Map<string, Known>();
  /** What was last said of addresses, by controller. */
  readonly #said = new Map<string, string>();

  constructor(options: TerminatorProofsOptions) {
    this.#options = options;
    options.results.expect(new Set(options.addresses.keys()));
  }

  /** Where the platform says that its terminators are. */
  #addressesOf({ controller, frontends }: ProofSubject): readonly TerminatorAddress[] {
    const { addresses } = this.#options;
    const own = frontends.flatMap((name) => addresses.get(name) ?? []);
    return own.length > 0 ? own : (addresses.get(controller) ?? []);
  }

  groupOf = (key: string): Group => ({ name: parseScopeKey(key).controller, most: mostOfOne });

  async reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const { clock, subjectOf } = this.#options;
    const configured = subjectOf(key);
    const subject = configured !== undefined && this.#addressesOf(configured).length > 0 ? configured : undefined;
    const known = this.#known.get(key);
    if (subject === undefined) {
      this.#forget(key, known?.subject.hosts ?? [], known?.subject);
      return {};
    }
    const now = clock.now();
    // A clock that was set back is no reason to wait for longer than was meant.
    const due =
      known?.subject.basis === subject.basis ? known.due : Math.min(subject.settledAt, now + subject.intervalMs);
    if (known !== undefined) {
      const left = known.subject.hosts.filter((host) => !subject.hosts.includes(host));
      this.#forget(key, left, known.subject);
      if (known.subject.basis !== subject.basis) this.#restart(key, subject);
    }
    this.#known.set(key, { subject, due });
    if (now < due) return { requeueAfterMs: due - now };
    const delayMs = await this.#round(key, subject, signal).catch((error: unknown) => {
      // Nobody is to wait for a first answer that does not come.
      this.#leave(subject, subject.hosts, 'the operator could not ask');
      throw error;
    });
    const jittered = Math.ceil(delayMs * (0.9 + Math.random() * 0.1));
    this.#known.set(key, { subject, due: clock.now() + jittered });
    return { requeueAfterMs: jittered };
  }

  /** What passed before a change says nothing of it; what is wrong is wrong until it is seen to be right. */
  #restart(key: string, { controller, hosts, server }: ProofSubject): void {
    const { results, onChange } = this.#options;
    let changed = false;
    for (const host of hosts) {
      const { doubts } = results.of(controller, host);
      changed = results.set(controller, host, { ...UNPROVED, doubts }) || changed;
    }
    if (changed) onChange(key, server);
  }

  #forget(key: string, hosts: readonly string[], subject: ProofSubject | undefined): void {
    if (subject === undefined) return;
    const { results, onChange } = this.#options;
    const known = hosts.filter((host) => results.forget(subject.controller, host));
    if (hosts.length === subject.hosts.length) this.#known.delete(key);
    if (known.length > 0) onChange(key, subject.server);
  }

  /** @returns milliseconds to the next */
  async #round(key: string, subject: ProofSubject, signal: AbortSignal): Promise<number> {
    const { sign, clock, results, onChange } = this.#options;
    const { controller, issuers, bundlePem, server, intervalMs } = subject;
    const { addresses, left, unresolved } = await resolveAddresses(this.#addressesOf(subject), signal);
    this.#sayAddresses(controller, left, unresolved);
    const certificates = await proofCertificates(issuers, { sign, bundlePem, now: clock.now() }, signal);
    this.#leave(subject, subject.hosts.slice(mostHosts), `only ${mostHosts} hosts of a scope are asked`);
    const delays: number[] = [];
    let changed = false;
    const silent = new Set<ResolvedAddress>();
    for (const host of subject.hosts.slice(0, mostHosts)) {
      const rounds = await this.#ask(host, addresses, { subject, certificates, silent }, signal);
      const before = results.of(controller, host);
      const proof = proofAfter(before, { mode: subject.mode, rounds, now: clock.now() });
      this.#note(subject, host, before, proof);
      changed = results.set(controller, host, proof) || changed;
      delays.push(delayOf(proof, intervalMs));
    }
    if (changed) onChange(key, server);
    return Math.min(intervalMs, ...delays);
  }

  #leave({ controller }: ProofSubject, hosts: readonly string[], why: string): void {
    const { results } = this.#options;
    for (const host of hosts) results.set(controller, host, unasked(results.of(controller, host), why));
  }

  #ask(
    host: string,
    addresses: readonly ResolvedAddress[],
    { subject, certificates, silent }: Asked,
    signal: AbortSignal,
  ): Promise<AddressRound[]> {
    const { mode, laxHost } = subject;
    const proved = { host: named(host), mode, laxHost: laxHost === undefined ? undefined : named(laxHost) };
    return Promise.all(
      addresses.map(async (address) => {
        // One that did not answer for one host is not waited for with each of the others.
        if (silent.has(address)) return { address: addressText(address), observations: [] };
        const round = await roundAt(address, proved, certificates, signal);
        if (round.observations.at(-1)?.outcome.kind === 'unreachable') silent.add(address);
        return round;
      }),
    );
  }

  #note({ controller }: ProofSubject, host: string, before: HostProof, proof: HostProof): void {
    const { logger, metrics } = this.#options;
    const state = stateOf(proof);
    const outcome = proof.unclear === undefined ? (proof.passes > 0 ? 'passed' : 'failed') : 'unclear';
    metrics?.round(controller, outcome);
    const context = { controller, host, state, outcome, unclear: proof.unclear };
    if (state === stateOf(before) && proof.unclear === before.unclear) logger.debug(context, 'terminator was asked');
    else if (state === 'disproved') logger.warn(context, 'terminator does not do what it is configured to do');
    else logger.info(context, 'terminator was asked');
  }

  #sayAddresses(controller: string, left: number, unresolved: readonly string[]): void {
    const said = `${left} ${unresolved.join(' ')}`;
    if (this.#said.get(controller) === said) return;
    this.#said.set(controller, said);
    const { logger } = this.#options;
    if (left > 0) logger.warn({ controller, left }, `only ${mostAddresses} addresses of a terminator are asked`);
    if (unresolved.length > 0) logger.warn({ controller, unresolved }, 'addresses of a terminator cannot be resolved');
  }
}

/** The host name of `proofHosts`, or a name that its wildcard covers. */
function named(host: string): string {
  const name = host.slice(host.lastIndexOf('/') + 1);
  return name === '*' ? 'certbound-proof.invalid' : name.replace(/^\*/, 'certbound-proof');
}
