/** Where terminators are reached: what the platform configured, resolved. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { orAbort } from '../../runtime/abort.ts';

/** As it is configured. */
export interface TerminatorAddress {
  /** A host name or an IP address. */
  host: string;
  port: number;
}

export interface ResolvedAddress {
  ip: string;
  port: number;
}

export interface Resolution {
  addresses: readonly ResolvedAddress[];
  /** Addresses beyond the most. */
  left: number;
  /** Names that have no address now. */
  unresolved: readonly string[];
}

/** A host is asked at so many. */
export const mostAddresses = 8;
const DEADLINE_MS = 5_000;

export function addressText({ ip, port }: ResolvedAddress): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** Never rejects. */
export async function resolveAddresses(
  configured: readonly TerminatorAddress[],
  signal: AbortSignal,
): Promise<Resolution> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
  const found = new Map<string, ResolvedAddress>();
  const unresolved: string[] = [];
  const resolved = await Promise.all(
    configured.map(async ({ host, port }) => {
      if (isIP(host) !== 0) return [{ ip: host, port }];
      try {
        const answers = await orAbort(lookup(host, { all: true }), until);
        return answers.map(({ address }) => ({ ip: address, port }));
      } catch {
        unresolved.push(host);
        return [];
      }
    }),
  );
  for (const each of resolved.flat()) found.set(`${each.ip} ${each.port}`, each);
  const addresses = [...found.keys()].toSorted().flatMap((key) => found.get(key) ?? []);
  return {
    addresses: addresses.slice(0, mostAddresses),
    left: Math.max(0, addresses.length - mostAddresses),
    unresolved: unresolved.toSorted(),
  };
}
