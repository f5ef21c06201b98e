import { generateKeyPair } from '../../x509/key.ts';
import { signSelfSignedLeaf } from '../../x509/certificate.ts';
import { certificateFromPem } from '../../x509/pem.ts';
import type { SubjectName } from '../../x509/subject-name.ts';
import { x5tS256 } from '../../x509/thumbprint.ts';
import type { ClientTls } from '../connection/connection.ts';
import { type ProbeContext, probeFor, revokeToken } from './probe.ts';
import type { ProofRequest } from './proof.ts';

/** Who got in although it must not. */
export type Intruder = 'no certificate' | 'a certificate that nobody registered';

export const NOT_ENFORCED = 'ClientAuthenticationNotEnforced';

/** Public. */
export function notEnforced(intruder: Intruder): string {
  return (
    `The server let a caller in as a client that showed ${intruder}: whoever knows a client_id is that client. ` +
    'See that the TLS terminator in front of the token endpoint verifies certificates against the issuer’s CA alone (or, for ' +
    'self_signed_tls_client_auth, forwards them as they are) and strips certificate headers that callers send; and that the ' +
    'server takes certificates from nobody else. No new client’s certificate is published before.'
  );
}

type Client = Pick<ProofRequest, 'connection' | 'clientId' | 'grantTypes' | 'redirectUri' | 'scope'> & {
  /** The foreign certificate names the same one. */
  subject: SubjectName;
  /** Epoch milliseconds. */
  now: number;
};

const FOREIGN_LIFE_MS = 3_600_000;

/**
 * Calls the endpoint of the proof in the name of a registered client, once without a certificate and once with one that
 * its own key signed over the same subject (protocols, §2): a server that lets one of them in authenticates nobody. Each
 * refusal counts at the server as a failed login, so one address is asked, another one each time.
 *
 * @returns who was let in; undefined where both were refused; `unknown` where one of them could not ask
 * @throws {OperatorError} `Cancelled` when `signal` aborts
 */
export async function callAsIntruder(client: Client, signal: AbortSignal): Promise<Intruder | 'unknown' | undefined> {
  const { connection, grantTypes, redirectUri } = client;
  const { endpoints } = connection;
  const probe = endpoints && probeFor(endpoints, grantTypes, redirectUri);
  if (endpoints === undefined || probe === undefined) return 'unknown';
  let addresses: readonly string[];
  try {
    addresses = await connection.addressesOf(probe.url, signal);
  } catch {
    signal.throwIfAborted();
    return 'unknown';
  }
  const address = addresses[Math.floor(Math.random() * addresses.length)];
  const foreign = await foreignCertificate(client);
  const call = (as: { certificate?: ClientTls; x5tS256: string }): Promise<boolean | 'unknown'> =>
    connection.withFresh({ address, certificate: as.certificate }, async (dispatcher) => {
      const context: ProbeContext = {
        ...client,
        endpoints,
        boundTokens: true,
        x5tS256: as.x5tS256,
        send: (_operation, request, until) => connection.send('canary', { ...request, dispatcher }, until),
      };
      const outcome = await probe.run(context, signal);
      if (outcome.outcome === 'unreachable') return 'unknown';
      if (outcome.outcome === 'proved' && outcome.token !== undefined)
        await revokeToken(context, outcome.token, signal);
      return outcome.outcome === 'proved' || (outcome.outcome === 'refused' && outcome.authenticated === true);
    });
  const anonymous = await call({ x5tS256: '' });
  if (anonymous === true) return 'no certificate';
  const stranger = await call({
    certificate: connection.clientTls(foreign.pem, foreign.key),
    x5tS256: foreign.x5tS256,
  });
  if (stranger === true) return 'a certificate that nobody registered';
  return anonymous === 'unknown' || stranger === 'unknown' ? 'unknown' : undefined;
}

async function foreignCertificate({ subject, now }: Client): Promise<{ pem: string; key: string; x5tS256: string }> {
  const { privateKeyPem: key } = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
  const pem = await signSelfSignedLeaf(
    { subject, duration: FOREIGN_LIFE_MS, now: new Date(now), ...('dn' in subject ? {} : { commonName: 'canary' }) },
    key,
  );
  return { pem, key, x5tS256: x5tS256(certificateFromPem(pem)) };
}
