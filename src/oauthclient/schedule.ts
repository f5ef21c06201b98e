import { createHash } from 'node:crypto';
import type { CertificateParameters } from './desired.ts';
import type { CertificateState } from './record.ts';

/**
 * What decides about the times of a client's certificates. No time that follows from it is stored, so that a change of
 * the spec takes effect at once.
 */
export interface Schedule {
  certificate: Pick<CertificateParameters, 'durationMs' | 'renewBeforeMs' | 'drainMs'>;
  propagationMs: number;
  /** Of the access tokens that the server issues. */
  longestTokenLifetimeMs: number;
  /** Cluster and client: spreads the renewals of many. */
  renewalSeed: string;
}

type Dated = Pick<CertificateState, 'stagedAt' | 'notAfter'>;

/** When its successor is begun. Epoch milliseconds. */
export function renewalOf({ stagedAt, notAfter }: Dated, { certificate, renewalSeed }: Schedule): number {
  return renewalTime({
    issuedAt: Date.parse(stagedAt),
    notAfter: Date.parse(notAfter),
    durationMs: certificate.durationMs,
    renewBeforeMs: certificate.renewBeforeMs,
    seed: renewalSeed,
  });
}

/** When it stops being registered and trusted, or ends. Epoch milliseconds. */
export function retirementOf(certificate: CertificateState, schedule: Schedule): number {
  const { role, replacedAt, notAfter, stagedAt, compromised } = certificate;
  // What others may use drains for nobody.
  if (role !== 'Published' && compromised === true) return Date.parse(stagedAt);
  if (role !== 'Draining' || replacedAt === undefined) return Date.parse(notAfter);
  return retireTime({
    replacedAt: Date.parse(replacedAt),
    notAfter: Date.parse(notAfter),
    drainMs: schedule.certificate.drainMs,
    propagationMs: schedule.propagationMs,
    longestTokenLifetimeMs: schedule.longestTokenLifetimeMs,
  });
}

/** Its drain is over, or it ended before it was ever published. */
export function retired(certificate: CertificateState, schedule: Schedule, now: number): boolean {
  return certificate.role !== 'Published' && retirementOf(certificate, schedule) <= now;
}

const punctualMs = 5_000;

/** What applications read until now was replaced some time ago in the record alone: its drain is to begin now (P3). */
export function replacedLate({ role, replacedAt, notAfter }: CertificateState, now: number): boolean {
  return role === 'Draining' && now - Date.parse(replacedAt ?? notAfter) > punctualMs;
}

/**
 * When a certificate is to be replaced (protocols, §1): `renewBefore` before its end, moved earlier by up to a tenth of
 * that, by a hash of cluster and client, so that many clients don't renew at once and a rebuild changes nothing.
 * A certificate that got less than the life asked for (its CA ends first) keeps the same proportion. Epoch milliseconds.
 */
export function renewalTime(options: {
  issuedAt: number;
  notAfter: number;
  durationMs: number;
  renewBeforeMs: number;
  seed: string;
}): number {
  const life = Math.max(0, options.notAfter - options.issuedAt);
  const share = Math.min(1, life / options.durationMs);
  const renewBefore = Math.min(life, options.renewBeforeMs * share);
  const fraction = createHash('sha256').update(options.seed).digest().readUInt32BE(0) / 2 ** 32;
  const jitter = fraction * Math.min(renewBefore / 10, (life - renewBefore) / 2);
  return Math.floor(options.notAfter - renewBefore - jitter);
}

/**
 * When a replaced certificate stops being registered and trusted: its own end, or `drain` after it was replaced, but
 * never before a change has reached every terminator and every token bound to it has ended (RFC 8705 §6.3).
 */
export function retireTime(options: {
  replacedAt: number;
  notAfter: number;
  drainMs: number | undefined;
  propagationMs: number;
  longestTokenLifetimeMs: number;
}): number {
  if (options.drainMs === undefined) return options.notAfter;
  const drain = Math.max(options.drainMs, options.propagationMs + options.longestTokenLifetimeMs);
  return Math.min(options.notAfter, options.replacedAt + drain);
}

/**
 * Milliseconds to the next proof call after one that was refused: fast within the propagation time, for a terminator may
 * not know the certificate yet; then at most three an hour, doubling, since servers lock clients out. Never more than a
 * twentieth of the life that is left, of the certificate and of the one that it `replaces`; with that one ended, nothing
 * works until one call succeeds, and the pauses no longer grow.
 */
export function proofDelay(options: {
  since: number;
  now: number;
  propagationMs: number;
  /** Epoch milliseconds. */
  notAfter: number;
  /** End of the certificate that is published meanwhile, epoch milliseconds. */
  replaces?: number | undefined;
}): number {
  const { since, now, propagationMs, notAfter, replaces = Infinity } = options;
  const elapsed = Math.max(0, now - since);
  if (elapsed < propagationMs) return Math.min(2_000, Math.max(250, elapsed / 4));
  const left = replaces > now ? (replaces - now) / 20 : slowestMs;
  return Math.max(1_000, Math.min(Math.max(slowestMs, elapsed), left, (notAfter - now) / 20));
}

/** Three an hour. */
const slowestMs = 20 * 60_000;
