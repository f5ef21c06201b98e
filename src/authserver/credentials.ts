import type { AuthorizationServer } from '../api/authorization-server.ts';
import { OperatorError } from '../errors.ts';

/** Values of the Secrets that an AuthorizationServer refers to: read when they are needed, and kept nowhere. */
export interface ServerCredentials {
  /** RFC 7591 §1.2. */
  initialAccessToken?: string | undefined;
  /** RFC 7591 §2.3. */
  softwareStatement?: string | undefined;
}

/** The text of one key of a Secret in the operator's namespace, read live and trimmed; undefined without either. */
export type SecretValue = (name: string, key: string, signal: AbortSignal) => Promise<string | undefined>;

/** RFC 6750 §2.1: what may stand in an Authorization header. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/** RFC 7515 §7.1: a software statement is signed. */
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

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
  const { initialAccessTokenSecretRef, softwareStatementSecretRef } = server.spec.dynamicRegistration ?? {};
  const [initialAccessToken, softwareStatement] = await Promise.all([
    readValue(secretValue, initialAccessTokenSecretRef, initialAccessTokenKind, signal),
    readValue(secretValue, softwareStatementSecretRef, softwareStatementKind, signal),
  ]);
  return { initialAccessToken, softwareStatement };
}

interface CredentialKind {
  name: string;
  member: string;
  pattern: RegExp;
  is: string;
}
const initialAccessTokenKind: CredentialKind = {
  name: 'initial access token',
  member: 'initialAccessTokenSecretRef',
  pattern: BEARER_TOKEN,
  is: 'bearer token (RFC 6750 §2.1)',
};
const softwareStatementKind: CredentialKind = {
  name: 'software statement',
  member: 'softwareStatementSecretRef',
  pattern: COMPACT_JWS,
  is: 'signed JWT (RFC 7519, RFC 7515 §7.1)',
};

async function readValue(
  secretValue: SecretValue,
  ref: { name: string; key: string } | undefined,
  { name, member, pattern, is }: CredentialKind,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (ref === undefined) return undefined;
  const where = `Secret "${ref.name}" in the operator's namespace`;
  const value = await secretValue(ref.name, ref.key, signal);
  if (value === undefined) {
    throw new OperatorError(
      'CredentialMissing',
      `There is no key "${ref.key}" in ${where}: put the ${name} there, or remove ${member}.`,
      lookAgain,
    );
  }
  if (!pattern.test(value)) {
    throw new OperatorError(
      'CredentialInvalid',
      `Key "${ref.key}" of ${where} is no ${is}: put the ${name} there, and nothing else.`,
      lookAgain,
    );
  }
  return value;
}
