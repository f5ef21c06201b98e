import { OperatorError } from '../../errors.ts';
import type { ClientTls, ServerConnection } from '../connection/connection.ts';
import { type Probe, type ProbeContext, probeFor, revokeToken } from './probe.ts';
import type { ProofOutcome } from './proof-outcome.ts';

export type { ProofOutcome } from './proof-outcome.ts';

export interface ProofRequest {
  connection: ServerConnection;
  clientId: string;
  /** Leaf first. */
  chainPem: string;
  privateKeyPem: string;
  x5tS256: string;
  /** Those that the client holds. */
  grantTypes: readonly string[];
  /** A registered one; needed for authorization_code. */
  redirectUri?: string | undefined;
  scope?: string | undefined;
  /** RFC 8705 §3.4. Default true. */
  boundTokens?: boolean;
}

/** One success may be luck: a terminator's workers reload one after the other. */
const leastProofs = 3;

/**
 * Proves a certificate by real calls over mutual TLS, to the endpoint that the Secret publishes: at least one on every
 * resolved address and three in all, each on a connection of its own. The first that fails decides.
 *
 * Where an address more than once is needed, the token that it gave is revoked over the further connections: each is one
 * authenticated call through the same terminator, and only one token is ever made (ADR 9).
 *
 * @throws {OperatorError} `Cancelled` when `signal` aborts, `ServerUnavailable` before the first discovery
 */
export async function proveCertificate(request: ProofRequest, signal: AbortSignal): Promise<ProofOutcome> {
  const outcome = await tryCertificate(request, signal);
  request.connection.tried(outcome);
  return outcome;
}

async function tryCertificate(request: ProofRequest, signal: AbortSignal): Promise<ProofOutcome> {
  const { connection, grantTypes, redirectUri, chainPem, privateKeyPem } = request;
  const { endpoints } = connection;
  if (endpoints === undefined) {
    throw new OperatorError('ServerUnavailable', 'The endpoints of the authorization server are not known yet.');
  }
  const probe = probeFor(endpoints, grantTypes, redirectUri);
  if (probe === undefined) {
    return {
      outcome: 'notYet',
      message:
        'The certificate cannot be proved: the client holds no grant that can be tried, and the server offers no token revocation (RFC 7009).',
    };
  }
  let addresses: readonly string[];
  try {
    addresses = await connection.addressesOf(probe.url, signal);
  } catch {
    signal.throwIfAborted();
    return { outcome: 'unreachable', message: `The host name ${new URL(probe.url).hostname} cannot be resolved.` };
  }
  const certificate = connection.clientTls(chainPem, privateKeyPem);
  const prove = (address: string, tokens: Tokens) => {
    const work = (context: ProbeContext) => proveOnce(probe, context, tokens, signal);
    return overFresh(request, { certificate, address }, work);
  };
  const revocable = sameOrigin(probe.url, endpoints.revocationEndpoint);
  const proved: ProofOutcome[] = [];
  let kept: string | undefined;
  const reached: string[] = [];
  let unroutable: ProofOutcome | undefined;
  for (const address of addresses) {
    const keep: boolean = revocable && kept === undefined && addresses.length < leastProofs;
    const outcome = await prove(address, { keep });
    // An IPv6 address where we have no IPv6: that it cannot be reached from here is no fault of the server.
    if (outcome.outcome === 'unreachable' && outcome.unroutable === true) {
      unroutable = outcome;
      continue;
    }
    if (outcome.outcome !== 'proved') return at(outcome, address, addresses);
    if (keep) kept = outcome.token;
    proved.push(outcome);
    reached.push(address);
  }
  if (reached.length === 0) {
    return unroutable ?? { outcome: 'unreachable', message: `The host of ${probe.url} has no address.` };
  }
  while (proved.length < leastProofs) {
    const address = reached[proved.length % reached.length] ?? '';
    const outcome = await prove(address, { revoke: kept });
    // It took another token: to revoke the first said nothing, and is not tried again.
    if (outcome.outcome === 'proved' && outcome.token !== undefined) kept = undefined;
    if (outcome.outcome !== 'proved') return at(outcome, address, addresses);
    proved.push(outcome);
  }
  const lives = proved.flatMap((p) =>
    p.outcome === 'proved' && p.expiresInSeconds !== undefined ? [p.expiresInSeconds] : [],
  );
  return { outcome: 'proved', expiresInSeconds: lives.length === 0 ? undefined : Math.max(...lives) };
}

interface Tokens {
  /** The one that the probe is given outlives it. */
  keep?: boolean;
  /** To revoke is proof enough, where the server does it. */
  revoke?: string | undefined;
}

async function proveOnce(
  probe: Probe,
  context: ProbeContext,
  { keep = false, revoke }: Tokens,
  signal: AbortSignal,
): Promise<ProofOutcome> {
  const again = revoke === undefined ? undefined : await revokeToken(context, revoke, signal);
  if (again !== undefined) return again;
  const outcome = await probe.run(context, signal);
  if (outcome.outcome === 'proved' && outcome.token !== undefined && !keep) {
    await revokeToken(context, outcome.token, signal);
  }
  return outcome;
}

function sameOrigin(url: string, other: string | undefined): boolean {
  return other !== undefined && new URL(url).origin === new URL(other).origin;
}

/** On a connection of its own. */
function overFresh(
  request: ProofRequest,
  how: { certificate: ClientTls; address: string },
  work: (context: ProbeContext) => Promise<ProofOutcome>,
): Promise<ProofOutcome> {
  const { connection, clientId, x5tS256, redirectUri, scope, boundTokens = true } = request;
  const { endpoints } = connection;
  if (endpoints === undefined) throw new TypeError('no endpoints');
  return connection.withFresh(how, (dispatcher) =>
    work({
      send: (operation, asked, until) => connection.send(operation, { ...asked, dispatcher }, until),
      endpoints,
      clientId,
      x5tS256,
      redirectUri,
      scope,
      boundTokens,
    }),
  );
}

/** Names the address where there are several: one replica of a terminator may be behind the others. */
function at(outcome: ProofOutcome, address: string, all: readonly string[]): ProofOutcome {
  if (outcome.outcome === 'proved' || all.length < 2) return outcome;
  return { ...outcome, message: `${outcome.message} Asked at ${address}.` };
}
