import { timingSafeEqual } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { x5tS256 } from '../x509/thumbprint.ts';

export interface BoundTokenRequest {
  /** The bearer token as it came, without its scheme; undefined when the request carried none. */
  token: string | undefined;
  /** The client certificate of this very connection, from the TLS layer or a trusted terminator's header. */
  certificateDer: Uint8Array | undefined;
  /** Exactly the `iss` to accept. */
  issuer: string;
  /** The resource server's own identifier, which `aud` must name (RFC 9068 §4). */
  audience: string;
  /** The authorization server's keys: jose's createRemoteJWKSet or createLocalJWKSet. */
  jwks: JWTVerifyGetKey;
  now: Date;
  /** In seconds, for `exp` and `nbf`. Default 5. */
  clockTolerance?: number;
}

/**
 * `refused`: answer 401 with `wwwAuthenticate`. `unavailable`: the keys could not be had, which says nothing about the
 * token; answer 503. `description` is public and never quotes the token.
 */
export type BoundTokenVerdict =
  | { outcome: 'accepted'; claims: JWTPayload; thumbprint: string }
  | { outcome: 'refused'; error: 'invalid_token' | undefined; description: string; wwwAuthenticate: string }
  | { outcome: 'unavailable'; description: string };

/** What a public verifier key may do. Never `none`, never a MAC: with those, the server's public key would sign. */
const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
  'EdDSA',
  'Ed25519',
];

/** A member besides `x5t#S256` demands a proof that nobody here checks (RFC 7800 §3.1), so the object is strict. */
const confirmationSchema = z.strictObject({ 'x5t#S256': z.string().regex(/^[A-Za-z0-9_-]{43}$/) });

/** RFC 6750 §3.1: a request without a token gets no error code, so that it learns nothing but how to authenticate. */
function refused(description: string, error?: 'invalid_token'): BoundTokenVerdict {
  const wwwAuthenticate =
    error === undefined ? 'Bearer' : `Bearer error="${error}", error_description="${description}"`;
  return { outcome: 'refused', error, description, wwwAuthenticate };
}

function explain(error: unknown): BoundTokenVerdict {
  if (error instanceof errors.JWTExpired) return refused('The token has expired', 'invalid_token');
  if (error instanceof errors.JWTClaimValidationFailed) {
    // The claim's name is jose's own or one that is required here, never the token's text.
    return refused(`The token's ${error.claim} is not acceptable here`, 'invalid_token');
  }
  const unavailable =
    !(error instanceof errors.JOSEError) ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error.code === 'ERR_JOSE_GENERIC'; // a JWKS answer that is not 200
  if (unavailable) {
    return { outcome: 'unavailable', description: "The authorization server's keys could not be read" };
  }
  return refused('The token is malformed or was not signed by the authorization server', 'invalid_token');
}

/**
 * Whether a JWT access token (RFC 9068) is valid here and now, and bound to the certificate that presents it
 * (RFC 8705 §3). A token without a binding is refused. Never throws.
 */
export async function verifyBoundToken(request: BoundTokenRequest): Promise<BoundTokenVerdict> {
  if (request.token === undefined || request.token === '') return refused('A token is required');
  // jose's base64url decoder skips white space; a token has one spelling only (RFC 7515 §2).
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(request.token)) return refused('The token is malformed', 'invalid_token');
  let claims: JWTPayload;
  try {
    const verified = await jwtVerify(request.token, request.jwks, {
      algorithms: ALGORITHMS,
      audience: request.audience,
      clockTolerance: request.clockTolerance ?? 5,
      currentDate: request.now,
      issuer: request.issuer,
      requiredClaims: ['exp', 'sub'],
      typ: 'at+jwt',
    });
    claims = verified.payload;
  } catch (error) {
    return explain(error);
  }
  const confirmation = confirmationSchema.safeParse(claims['cnf']);
  if (!confirmation.success) {
    return refused('The token is not bound to a certificate, or to more than a certificate', 'invalid_token');
  }
  if (request.certificateDer === undefined) {
    return refused('The token is bound to a certificate and none was presented', 'invalid_token');
  }
  const thumbprint = x5tS256(request.certificateDer);
  const bound = timingSafeEqual(Buffer.from(confirmation.data['x5t#S256']), Buffer.from(thumbprint));
  return bound
    ? { outcome: 'accepted', claims, thumbprint }
    : refused('The token is bound to another certificate', 'invalid_token');
}
