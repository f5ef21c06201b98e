import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import type { OAuthClient } from '../api/oauth-client.ts';
import type { Claim } from '../authserver/claims.ts';
import type { Distribution } from '../terminator/distribution.ts';
import type { Rewritten } from '../runtime/contest.ts';
import type { Comparison } from './comparisons.ts';
import type { SecretProjection } from './published-secret.ts';
import type { RecordProjection } from './record.ts';

export interface NamespaceView {
  name: string;
  labels: Record<string, string>;
  terminating: boolean;
}

/** What the periodic proof of the published certificate found. Volatile: a restart proves again in its own time, at once where it is in doubt. */
export interface Reproof {
  /** Epoch milliseconds of the next one. */
  due: number;
  /** Consecutive refusals (JSON `invalid_client`). */
  refusals: number;
  message: string;
  /** The first of them, epoch milliseconds. */
  refusedSince?: number;
  /** What became of reading the registration after the last one: the server may know no such client any more. */
  registration?: 'present' | 'unreadable' | 'absent';
}

/** `published`: status says that the published certificate is refused. `successor`: that the next one is. */
export type Doubt = 'published' | 'successor';

/** All that a restart leaves of the refusals before it. */
export function doubtIn(status: OAuthClient['status']): Doubt | undefined {
  const refused = (reason: string, type: string) =>
    status?.conditions?.some((c) => c.type === type && c.status === 'False' && c.reason === reason) === true;
  if (refused(REFUSED, 'Ready') || refused(REFUSED, 'Proved') || refused(GONE, 'Ready')) return 'published';
  return refused('CertificateRefused', 'Proved') ? 'successor' : undefined;
}

/** Due at once. A successor that is refused disproves nothing of the published certificate. */
export function doubted(due: number, doubt: Doubt): Reproof {
  return doubt === 'successor'
    ? { due, refusals: 0, message: '' }
    : { due, refusals: 2, refusedSince: due, message: 'it did so before the operator started anew.' };
}

/** Status says that the registration can't be read. */
export function unreadableIn(status: OAuthClient['status']): boolean {
  return status?.conditions?.some(({ reason }) => reason === 'RegistrationAccessTokenLost') === true;
}

const REFUSED = 'Refused';
/** The server knows no such client any more. */
export const GONE = 'RegistrationGone';

/**
 * RFC 7592 §2.1 answers 401 for a client that is not there and for a token that is not accepted; with the certificate refused
 * too, and others accepted meanwhile, it is the client that is gone.
 */
export function isGone({ reproof, acceptedAt }: Pick<Observed, 'reproof' | 'acceptedAt'>): boolean {
  const { refusals, registration, refusedSince } = reproof;
  // Where a credential manages registrations, "not there" is the server's own word.
  if (refusals >= 2 && registration === 'absent') return true;
  if (refusals < 2 || registration !== 'unreadable' || refusedSince === undefined) return false;
  return acceptedAt !== undefined && acceptedAt > refusedSince;
}

/** Why Ready can't be True: refused twice in a row and not proved since. */
export function refusalOf({ refusals, message, due }: Reproof): { reason: string; message: string } | undefined {
  if (refusals < 2) return undefined;
  return {
    reason: REFUSED,
    message: `The authorization server refused the published certificate: ${message} Look for the client there; the operator tries again at ${new Date(due).toISOString()}.`,
  };
}

/** Everything that decides about one client; no key bytes. */
export interface Observed {
  client: OAuthClient & { metadata: { namespace: string } };
  clusterId: string;
  /** Where this operator serves key sets, if it does. */
  jwksUrl: string | undefined;
  namespace: NamespaceView | undefined;
  server: AuthorizationServer | undefined;
  /** Another one when a Secret changes that the server refers to. */
  credentials: string;
  issuer: ClientCertificateIssuer | undefined;
  record: RecordProjection | undefined;
  /** The Secret under the name that the client publishes to, whoever made it. */
  published: SecretProjection | undefined;
  /** How often this process wrote the same into it again. */
  rewritten: Rewritten | undefined;
  /** An older OAuthClient of this namespace that publishes to the same Secret. */
  secretRival: string | undefined;
  /** The holder of the identity at the server. */
  claim: Claim | undefined;
  /** The holder of the clientId at the server, where one was chosen. */
  clientIdClaim: Claim | undefined;
  /** The claim that announces the client's first registration, where nothing tells yet what came of that (ADR 16). */
  announced: Claim | undefined;
  /** Whether every terminator in front of the server trusts what the newest certificate needs. */
  distribution: Distribution;
  /**
   * An intent that this process wrote and has not begun to act on: only then is it certain that no call was sent.
   * Any other intent may have been carried out.
   */
  unsentIntent: string | undefined;
  /** An intent whose call was answered, and whose answer this process could not store yet. */
  answeredIntent: string | undefined;
  reproof: Reproof;
  /** With the registration as the server holds it. */
  comparison: Comparison;
  /** To read a registration at this server replaces its access token. */
  readsRotate: boolean;
  /** When the server last accepted any client of ours in this process, epoch milliseconds. */
  acceptedAt: number | undefined;
  /** The CRD is being deleted: every object was marked deleted, but nobody asked to deregister clients. */
  definitionTerminating: boolean;
}
