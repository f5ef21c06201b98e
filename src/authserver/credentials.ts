import type { AuthorizationServer } from '../api/authorization-server.ts';
import { OperatorError } from '../errors.ts';
import type { ProxyCredentials } from './tunnel.ts';

/** Values of the Secrets that an AuthorizationServer refers to: read when they are needed, and kept nowhere. */
export interface ServerCredentials {
  /** RFC 7591 §1.2. */
  initialAccessToken?: string | undefined;
}

/** The text of one key of a Secret (or ConfigMap) in the operator's namespace, read live and trimmed; undefined without either. */
export type SecretValue = (name: string, key: string, signal: AbortSignal) => Promise<string | undefined>;

/** RFC 6750 §2.1: what may stand in an Authorization header. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

const lookAgain = { retry: { class: 'after', milliseconds: 30_000 } } as const;

/**
 * The values of the Secrets that a server refers to.
 * @throws {OperatorError} `CredentialMissing`, `CredentialInvalid`, which say what to create; what `secretValue` throws
 */
export async function readCredentials(
  secretValue: SecretValue,
  server: Pick<AuthorizationServer, 'spec'>,
  signal: AbortSignal,
): Promise<ServerCredentials> {
  const ref = server.spec.dynamicRegistration?.initialAccessTokenSecretRef;
  if (ref === undefined) return {};
  const where = `Secret "${ref.name}" in the operator's namespace`;
  const initialAccessToken = await secretValue(ref.name, ref.key, signal);
  if (initialAccessToken === undefined) {
    throw new OperatorError(
      'CredentialMissing',
      `There is no key "${ref.key}" in ${where}: put the initial access token there, or remove initialAccessTokenSecretRef.`,
      lookAgain,
    );
  }
  if (!BEARER_TOKEN.test(initialAccessToken)) {
    throw new OperatorError(
      'CredentialInvalid',
      `Key "${ref.key}" of ${where} is no bearer token (RFC 6750 §2.1): put the initial access token there, and nothing else.`,
      lookAgain,
    );
  }
  return { initialAccessToken };
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
  const where = `Secret "${ref.name}" in the operator's namespace`;
  const username = await secretValue(ref.name, 'username', signal);
  const password = await secretValue(ref.name, 'password', signal);
  if (username === undefined || password === undefined) {
    throw new OperatorError(
      'CredentialMissing',
      `There are no keys "username" and "password" in ${where}: create it (type kubernetes.io/basic-auth) with the proxy's credentials, ` +
        'or remove proxyCredentialsSecretRef.',
      lookAgain,
    );
  }
  // RFC 7617 §2.
  if (username.includes(':') || /[\p{Cc}]/u.test(`${username}${password}`)) {
    throw new OperatorError(
      'CredentialInvalid',
      `The username in ${where} has a colon, or a control character is in one of its keys: put the proxy's credentials there.`,
      lookAgain,
    );
  }
  return { username, password };
}
