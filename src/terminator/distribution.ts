import type { AuthorizationServer } from '../api/authorization-server.ts';

/** How far one frontend is with a server's client certificates. */
export interface TerminatorView {
  /** e.g. `Ingress identity/mtls`. */
  ref: string;
  /** In the server's spec.terminators: in front of its token endpoint. */
  listed: boolean;
  /** What keeps the operator from having it trust the clients; undefined where nothing does. */
  problem: { reason: string; message: string } | undefined;
  /** Its settings say what they should. */
  inEffect: boolean;
  /** Its controller has said nothing of it since it was changed. */
  unobserved?: true;
  /** A first answer of its terminator is on its way; absent where nobody is asked. */
  proving?: boolean;
  /** SHA-256 of each CA certificate in the bundle that those settings name, lower-case hexadecimal. */
  caHashes: readonly string[];
  /** When the operator wrote its settings or what they name last, epoch milliseconds. */
  changedAt: number | undefined;
  /** When the CAs in its bundle became others than they were, by what the platform grants; epoch milliseconds. */
  trustChangedAt: number | undefined;
}

export type Distribution =
  | {
      state: 'distributed';
      /** Frontends of resource servers that don't trust the certificate yet: worth a report, never worth waiting for. */
      lagging: readonly string[];
      /** When the last of them was changed that is to take the certificate, as far as is known; epoch milliseconds. */
      since?: number;
      /** Frontends whose terminators are being asked for the first time since a change, or since a start of the operator. */
      proving?: readonly string[];
    }
  | {
      /** `waiting`: the operator is at it. `blocked`: somebody has to do something first. */
      state: 'waiting' | 'blocked';
      /** Stable CamelCase word. */
      reason: string;
      message: string;
      /** Names of the frontends that it hangs on. */
      terminators: readonly string[];
    };

export interface DistributionInput {
  server: AuthorizationServer;
  /** SHA-256 of the CA that vouches for the next certificate, hexadecimal; undefined for a self-signed one. */
  caSha256: string | undefined;
  /** Every terminator of the server, by `TerminatorViews.of(server)`. */
  terminators: readonly TerminatorView[];
}

const refs = (of: readonly TerminatorView[]): string[] => of.map(({ ref }) => ref).toSorted();

/** Of a class that the controller does not serve it never says anything again. */
function unheard(of: readonly TerminatorView[]): string {
  const silent = of.filter(({ unobserved }) => unobserved === true);
  if (silent.length === 0) return '';
  return ` The controller of ${refs(silent).join(', ')} has not taken up the last change: see that it runs, and that it serves the class.`;
}

/**
 * Whether every terminator in front of the server takes a client certificate of this CA. Only those that the platform lists
 * in spec.terminators count: one that some tenant broke must not hold up the clients of others. Pure.
 */
export function distribution({ server, caSha256, terminators }: DistributionInput): Distribution {
  const ca = caSha256?.replaceAll(':', '').toLowerCase();
  const trusts = ({ inEffect, caHashes }: TerminatorView): boolean =>
    inEffect && caHashes.length > 0 && (ca === undefined || caHashes.includes(ca));
  const behind = terminators.filter((terminator) => !trusts(terminator));
  const listed = behind.filter((terminator) => terminator.listed);
  const stuck = terminators.filter((terminator) => terminator.listed && terminator.problem !== undefined);
  const first = stuck[0]?.problem;
  if (first !== undefined) {
    const message = stuck.map(({ ref, problem }) => `${ref}: ${problem?.message ?? ''}`).join(' ');
    return { state: 'blocked', reason: first.reason, message, terminators: refs(stuck) };
  }
  if (listed.length > 0) {
    return {
      state: 'waiting',
      reason: 'TerminatorsPending',
      message: `The terminators in front of ${server.metadata.name} do not trust the certificate yet: ${refs(listed).join(', ')}.${unheard(listed)}`,
      terminators: refs(listed),
    };
  }
  const proving = terminators.filter((terminator) => terminator.listed && terminator.proving === true);
  // Of a frontend that a tenant may write only what the platform made of it: nobody holds up the clients of others.
  const changes = terminators
    .filter(trusts)
    .flatMap(({ listed: counts, changedAt, trustChangedAt }) => (counts ? changedAt : trustChangedAt) ?? []);
  return {
    state: 'distributed',
    lagging: refs(behind),
    ...(changes.length === 0 ? {} : { since: Math.max(...changes) }),
    ...(proving.length === 0 ? {} : { proving: refs(proving) }),
  };
}
