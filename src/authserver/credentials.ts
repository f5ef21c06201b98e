import { createPrivateKey } from 'node:crypto';
import type { AuthorizationServer, AuthorizationServerSpec } from '../api/authorization-server.ts';
import { OperatorError } from '../errors.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import type { ProxyCredentials } from './connection/tunnel.ts';

/** Values of the Secrets that an AuthorizationServer refers to: read when they are needed, and kept nowhere. */
export interface ServerCredentials {
  /** RFC 7591 §1.2. */
  initialAccessToken?: string | undefined;
  /** RFC 7591 §2.3. */
  softwareStatement?: string | undefined;
  management?: ManagementClient | undefined;
}

/** The client that the operator itself is at the server. */
export interface ManagementClient {
  clientId: string;
  proof: { clientSecret: string } | { chainPem: string; privateKeyPem: string };
}

/** The text of one key of a Secret (or ConfigMap) in the operator's namespace, read live and trimmed; undefined without either. */
export type SecretValue = (name: string, key: string, signal: AbortSignal) => Promise<string | undefined>;

/** RFC 6750 §2.1: what may stand in an Authorization header. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
/** RFC 6749 Appendix A.2. */
const CLIENT_SECRET = /^[\x20-\x7e]+$/;

/** RFC 7515 §7.1: a software statement is signed. */
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

const lookAgain = { retry: { class: 'after', milliseconds: 30_000 } } as const;

/** Names of the Secrets, in the operator's namespace, that a server refers to. */
export function secretNames(spec: AuthorizationServerSpec): string[] {
  const { dynamicRegistration, keycloak, caBundleRef, proxyCredentialsSecretRef } = spec;
  return [
    dynamicRegistration?.initialAccessTokenSecretRef?.name,
    dynamicRegistration?.softwareStatementSecretRef?.name,
    keycloak?.clientSecretRef?.name,
    keycloak?.clientCertificateSecretRef?.name,
    proxyCredentialsSecretRef?.name,
    caBundleRef?.kind === 'Secret' ? caBundleRef.name : undefined,
  ].filter((name) => name !== undefined);
}

/**
 * The values of the Secrets that a server refers to.
 * @throws {OperatorError} `CredentialMissing`, `CredentialInvalid`, which say what to create; what `secretValue` throws
 */
export async function readCredentials(
  secretValue: SecretValue,
  server: Pick<AuthorizationServer, 'spec'>,
  signal: AbortSignal,
): Promise<ServerCredentials> {
  const { dynamicRegistration, keycloak } = server.spec;
  if (dynamicRegistration !== undefined) return readRegistrationCredentials(secretValue, dynamicRegistration, signal);
  const read = (name: string, key: string, what: string) => required(secretValue, { name, key, what }, signal);
  if (keycloak === undefined) return {};
  const { clientId, clientSecretRef: secretRef, clientCertificateSecretRef: certificateRef } = keycloak;
  if (secretRef !== undefined) {
    const what = `the secret of client "${clientId}"`;
    const clientSecret = await read(secretRef.name, secretRef.key, what);
    if (!CLIENT_SECRET.test(clientSecret)) {
      throw invalid(secretRef.name, secretRef.key, `no client_secret (RFC 6749 Appendix A.2): put ${what} there`);
    }
    return { management: { clientId, proof: { clientSecret } } };
  }
  const name = certificateRef?.name ?? '';
  const chainPem = await read(name, 'tls.crt', `the certificate of client "${clientId}"`);
  const privateKeyPem = await read(name, 'tls.key', `the private key of client "${clientId}"`);
  if (!matches(chainPem, privateKeyPem)) {
    throw invalid(name, 'tls.key', 'not the private key of tls.crt: put both there in PEM');
  }
  return { management: { clientId, proof: { chainPem, privateKeyPem } } };
}

const where = (name: string): string => `Secret "${name}" in the operator's namespace`;

async function required(
  secretValue: SecretValue,
  { name, key, what }: { name: string; key: string; what: string },
  signal: AbortSignal,
): Promise<string> {
  const value = await secretValue(name, key, signal);
  if (value !== undefined) return value;
  throw new OperatorError(
    'CredentialMissing',
    `There is no key "${key}" in ${where(name)}: put ${what} there.`,
    lookAgain,
  );
}

function invalid(name: string, key: string, problem: string): OperatorError {
  return new OperatorError(
    'CredentialInvalid',
    `Key "${key}" of ${where(name)} is ${problem}, and nothing else.`,
    lookAgain,
  );
}

function matches(chainPem: string, privateKeyPem: string): boolean {
  try {
    return certificatesFromPem(chainPem)[0]?.checkPrivateKey(createPrivateKey(privateKeyPem)) === true;
  } catch {
    return false;
  }
}

/** What goes with a registration (RFC 7591). */
async function readRegistrationCredentials(
  secretValue: SecretValue,
  refs: NonNullable<AuthorizationServerSpec['dynamicRegistration']>,
  signal: AbortSignal,
): Promise<ServerCredentials> {
  const [initialAccessToken, softwareStatement] = await Promise.all([
    readToken(secretValue, refs.initialAccessTokenSecretRef, initialAccessTokenKind, signal),
    readToken(secretValue, refs.softwareStatementSecretRef, softwareStatementKind, signal),
  ]);
  return { initialAccessToken, softwareStatement };
}

interface TokenKind {
  what: string;
  pattern: RegExp;
  is: string;
}
const initialAccessTokenKind: TokenKind = {
  what: 'the initial access token',
  pattern: BEARER_TOKEN,
  is: 'bearer token (RFC 6750 §2.1)',
};
const softwareStatementKind: TokenKind = {
  what: 'the software statement',
  pattern: COMPACT_JWS,
  is: 'signed JWT (RFC 7519, RFC 7515 §7.1)',
};

async function readToken(
  secretValue: SecretValue,
  ref: { name: string; key: string } | undefined,
  { what, pattern, is }: TokenKind,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (ref === undefined) return undefined;
  const value = await required(secretValue, { ...ref, what }, signal);
  if (!pattern.test(value)) throw invalid(ref.name, ref.key, `no ${is}: put ${what} there`);
  return value;
}

/**
 * Of the proxy in front of a server, from a Secret of type kubernetes.io/basic-auth.
 * @throws {OperatorError} as {@link readCredentials} does
 */
export async function readProxyCredentials(
  secretValue: SecretValue,
  server: Pick<AuthorizationServer, 'spec'>,
  signal: AbortSignal,
): Promise<ProxyCredentials | undefined> {
  const ref = server.spec.proxyCredentialsSecretRef;
  if (ref === undefined) return undefined;
  const username = await secretValue(ref.name, 'username', signal);
  const password = await secretValue(ref.name, 'password', signal);
  if (username === undefined || password === undefined) {
    throw new OperatorError(
      'CredentialMissing',
      `There are no keys "username" and "password" in ${where(ref.name)}: create it (type kubernetes.io/basic-auth) with the proxy's credentials, ` +
        'or remove proxyCredentialsSecretRef.',
      lookAgain,
    );
  }
  // RFC 7617 §2.
  if (username.includes(':') || /[\p{Cc}]/u.test(`${username}${password}`)) {
    throw new OperatorError(
      'CredentialInvalid',
      `The username in ${where(ref.name)} has a colon, or a control character is in one of its keys: put the proxy's credentials there.`,
      lookAgain,
    );
  }
  return { username, password };
}
