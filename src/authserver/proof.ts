import { OperatorError } from '../errors.ts';
import type { ClientTls, ServerConnection } from './connection.ts';
import { type Probe, probeFor, type ProofOutcome } from './probe.ts';

export type { ProofOutcome } from './probe.ts';

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
}

/** One success may be luck: a terminator's workers reload one after the other. */
const leastProofs = 3;

/**
 * Proves a certificate by real calls over mutual TLS, to the endpoint that the Secret publishes: at least one on every
 * resolved address and three in all, each on a connection of its own. The first that fails decides.
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
    addresses = await connection.addressesOf(probe.url, AbortSignal.any([signal, AbortSignal.timeout(5_000)]));
  } catch {
    signal.throwIfAborted();
    return { outcome: 'unreachable', message: `The host name ${new URL(probe.url).hostname} cannot be resolved.` };
  }
  const certificate = connection.clientTls(chainPem, privateKeyPem);
  const prove = (address: string) => proveAt(request, probe, { certificate, address }, signal);
  const proved: ProofOutcome[] = [];
  const reached: string[] = [];
  let unroutable: ProofOutcome | undefined;
  for (const address of addresses) {
    const outcome = await prove(address);
    // An IPv6 address where we have no IPv6: that it cannot be reached from here is no fault of the server.
    if (outcome.outcome === 'unreachable' && outcome.unroutable === true) {
      unroutable = outcome;
      continue;
    }
    if (outcome.outcome !== 'proved') return at(outcome, address, addresses);
    proved.push(outcome);
    reached.push(address);
  }
  if (reached.length === 0) {
    return unroutable ?? { outcome: 'unreachable', message: `The host of ${probe.url} has no address.` };
  }
  while (proved.length < leastProofs) {
    const address = reached[proved.length % reached.length] ?? '';
    const outcome = await prove(address);
    if (outcome.outcome !== 'proved') return at(outcome, address, addresses);
    proved.push(outcome);
  }
  const lives = proved.flatMap((p) =>
    p.outcome === 'proved' && p.expiresInSeconds !== undefined ? [p.expiresInSeconds] : [],
  );
  return { outcome: 'proved', expiresInSeconds: lives.length === 0 ? undefined : Math.max(...lives) };
}

function proveAt(
  request: ProofRequest,
  probe: Probe,
  how: { certificate: ClientTls; address: string },
  signal: AbortSignal,
): Promise<ProofOutcome> {
  const { connection, clientId, x5tS256, redirectUri, scope } = request;
  const { endpoints } = connection;
  if (endpoints === undefined) throw new TypeError('no endpoints');
  return connection.withFresh(how, (dispatcher) =>
    probe.run(
      {
        send: (operation, asked, until) => connection.send(operation, { ...asked, dispatcher }, until),
        endpoints,
        clientId,
        x5tS256,
        redirectUri,
        scope,
      },
      signal,
    ),
  );
}

/** Names the address where there are several: one replica of a terminator may be behind the others. */
function at(outcome: ProofOutcome, address: string, all: readonly string[]): ProofOutcome {
  if (outcome.outcome === 'proved' || all.length < 2) return outcome;
  return { ...outcome, message: `${outcome.message} Asked at ${address}.` };
}
