import type { AuthorizationServer } from '../../api/authorization-server.ts';
import { asOperatorError } from '../../errors.ts';
import { certificatesFromPem } from '../../x509/pem.ts';
import type { SecretValue } from '../credentials.ts';

/** What an AuthorizationServer's caBundleRef leads to, or why it can't be used. */
export type CaBundle =
  { readonly pem: string } | { readonly reason: 'CABundleMissing' | 'CABundleInvalid'; readonly message: string };

/** Of ConfigMaps and of Secrets in the operator's namespace. */
export interface ObjectValues {
  readonly secretValue: SecretValue;
  readonly configMapValue: SecretValue;
}

/** As spec.caBundle: what status has room for. */
const LARGEST = 131_072;

/** Undefined without a reference. */
export async function readCaBundle(
  { secretValue, configMapValue }: ObjectValues,
  { spec: { caBundleRef: ref } }: Pick<AuthorizationServer, 'spec'>,
  signal: AbortSignal,
): Promise<CaBundle | undefined> {
  if (ref === undefined) return undefined;
  const { kind, name, key } = ref;
  const value = await (kind === 'Secret' ? secretValue : configMapValue)(name, key, signal);
  if (value === undefined) {
    const create = 'put the CA certificates (PEM) there that vouch for the server’s own TLS certificate';
    const message = `There is no key "${key}" in ${kind} "${name}" in the operator's namespace: ${create}.`;
    return { reason: 'CABundleMissing', message };
  }
  const problem = value.length >= LARGEST ? 'It is larger than 128 KiB.' : pemProblem(value);
  if (problem === undefined) return { pem: `${value.trim()}\n` };
  const message = `Key "${key}" of ${kind} "${name}" in the operator's namespace cannot be used. ${problem}`;
  return { reason: 'CABundleInvalid', message };
}

/** What is wrong with a bundle; undefined where nothing is. */
export function pemProblem(caBundle: string): string | undefined {
  try {
    certificatesFromPem(caBundle);
    return undefined;
  } catch (error) {
    return asOperatorError(error).message;
  }
}
