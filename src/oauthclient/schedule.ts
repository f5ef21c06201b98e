import { createHash } from 'node:crypto';

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
 * twentieth of the life that is left.
 */
export function proofDelay(options: { since: number; now: number; propagationMs: number; notAfter: number }): number {
  const elapsed = Math.max(0, options.now - options.since);
  if (elapsed < options.propagationMs) return Math.min(2_000, Math.max(250, elapsed / 4));
  const paced = Math.max(20 * 60_000, elapsed);
  return Math.max(1_000, Math.min(paced, (options.notAfter - options.now) / 20));
}
