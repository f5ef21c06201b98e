import type { ClientGrants } from '../api/authorization-server.ts';
import { type GrantedNamespace, namespaceGranted } from '../api/namespace-grant.ts';
import type { AuthMethod } from '../api/oauth-client.ts';

export interface Violation {
  /** Path in the OAuthClient's spec. */
  field: string;
  /** Public: what is not granted and what to do. */
  message: string;
}
/** Effective values of an OAuthClient. */
export interface GrantRequest {
  namespace: GrantedNamespace;
  method: AuthMethod;
  /** Name of the ClientCertificateIssuer. */
  issuer: string;
  grantTypes: readonly string[];
  responseTypes: readonly string[];
  /** Space-separated. */
  scope: string | undefined;
  redirectURIs: readonly string[];
  /** RFC 8705 §3.4 */
  boundTokens: boolean;
  deletionPolicy: 'Delete' | 'Orphan';
}

const ASK = 'leave it out or ask the platform team to grant it';

/**
 * What of the request is not granted; empty when everything is. Pure, deny by default. A namespace that is not granted
 * learns that alone, in the words that it would read if the server did not exist.
 */
export function clientGrants(grants: ClientGrants | undefined, request: GrantRequest): Violation[] {
  if (!namespaceGranted(grants?.namespaces, request.namespace)) {
    return [
      {
        field: 'authorizationServerRef',
        message: 'There is no such AuthorizationServer, or it is not granted to this namespace: ask the platform team.',
      },
    ];
  }
  return [
    ...notIn(grants?.methods, [request.method], 'tokenEndpointAuthMethod', 'The method'),
    ...notIn(grants?.issuers, [request.issuer], 'certificate.issuerRef', 'The issuer'),
    ...notIn(grants?.grantTypes, request.grantTypes, 'grantTypes', 'The grant type'),
    ...notIn(['code'], request.responseTypes, 'responseTypes', 'The response type'),
    ...notIn(grants?.scopes, scopeValues(request.scope), 'scope', 'The scope'),
    ...redirectViolations(grants?.redirectURIs ?? [], request.redirectURIs),
    ...unboundViolations(grants, request),
    ...notIn(grants?.deletion ?? ['Delete'], [request.deletionPolicy], 'deletionPolicy', 'The deletion policy'),
  ];
}

/** The values of a scope (RFC 6749 §3.3). */
export function scopeValues(scope: string | undefined): string[] {
  return (scope ?? '').split(' ').filter((value) => value !== '');
}

function notIn(
  granted: readonly string[] | undefined,
  asked: readonly string[],
  field: string,
  what: string,
): Violation[] {
  return asked
    .filter((value) => granted?.includes(value) !== true)
    .map((value) => ({ field, message: `${what} ${shown(value)} is not granted here: ${ASK}.` }));
}

function redirectViolations(patterns: readonly string[], uris: readonly string[]): Violation[] {
  return uris.flatMap((uri): Violation[] => {
    const problem = redirectUriProblem(uri);
    if (problem !== undefined) {
      return [{ field: 'redirectURIs', message: `The redirect URI ${shown(uri)} ${problem}.` }];
    }
    if (patterns.some((pattern) => redirectUriGranted(pattern, uri))) return [];
    return [{ field: 'redirectURIs', message: `The redirect URI ${shown(uri)} is not granted here: ${ASK}.` }];
  });
}

function unboundViolations(grants: ClientGrants | undefined, { boundTokens }: GrantRequest): Violation[] {
  if (boundTokens || grants?.requireBoundTokens === false) return [];
  const message = `Access tokens that are not bound to the certificate are not granted here: ${ASK}.`;
  return [{ field: 'tlsClientCertificateBoundAccessTokens', message }];
}

function shown(value: string): string {
  return value.length > 200 ? `${value.slice(0, 199)}…` : value;
}

/** Characters of RFC 3986; everything else is read differently by different parsers (`\`, tab, non-ASCII). */
const URI_CHARACTERS = /^[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=%-]+$/;

/** What no grant may admit, however it is written. */
function redirectUriProblem(uri: string): string | undefined {
  if (!URI_CHARACTERS.test(uri) || !URL.canParse(uri)) return 'is no absolute URI in ASCII';
  if (uri.includes('#')) return 'has a fragment, which RFC 6749 §3.1.2 forbids';
  const { protocol, hostname, username, password } = new URL(uri);
  if (protocol === 'https:' || protocol === 'http:') {
    // The parser also takes https:host and https:///host.
    if (!/^https?:\/\/[^/?]/.test(uri)) return 'is written in an unusual way: write scheme://host/path';
    if (username !== '' || password !== '' || /^https?:\/\/[^/?]*@/.test(uri)) return 'has a user before its host';
    if (protocol === 'http:' && !isLoopback(hostname)) return 'is not https';
    return undefined;
  }
  // RFC 8252 §7.1: a private-use scheme is a reversed domain name, which javascript: and data: are not.
  return /^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$/.test(protocol)
    ? undefined
    : 'has a scheme that is neither https nor a private-use scheme with a dot (RFC 8252 §7.1)';
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** A segment of a path (RFC 3986 §3.3). */
const SEGMENT = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+$/;
/** An encoded dot, slash, backslash, percent or control character is decoded by somebody on the way. */
const TWO_READINGS = /%(?:2E|2F|5C|25|[01][0-9A-F]|7F)/;
/** `..;x` too is the folder above, to servers that cut off a segment's parameters (Tomcat). */
const DOTS = /^\.{1,2}(?:;|$)/;

function isPlainSegment(segment: string): boolean {
  return SEGMENT.test(segment) && !TWO_READINGS.test(segment) && !DOTS.test(segment) && isUtf8(segment);
}

/** %C0%AE is a dot to a decoder that takes overlong forms. */
function isUtf8(segment: string): boolean {
  try {
    decodeURIComponent(segment);
    return true;
  } catch {
    return false;
  }
}

/**
 * A pattern grants exactly itself; an https pattern whose path ends in `/*` also what is below that path: compared as
 * text, and only where every parser reads the text in the same way.
 */
export function redirectUriGranted(pattern: string, uri: string): boolean {
  if (redirectUriProblem(uri) !== undefined) return false;
  if (pattern === uri) return true;
  if (!pattern.endsWith('/*')) return false;
  const prefix = pattern.slice(0, -1);
  if (!/^https:\/\/[^/?#@*\\]+\/[^?#*\\]*$/.test(prefix) || redirectUriProblem(prefix) !== undefined) return false;
  if (!uri.startsWith(prefix)) return false;
  // The last segment may be empty: a trailing slash.
  const segments = uri
    .slice(prefix.length)
    .replace(/(?<=[^/])\/$/, '')
    .split('/');
  if (segments.join('/') !== '' && !segments.every(isPlainSegment)) return false;
  return new URL(uri).href === uri;
}
