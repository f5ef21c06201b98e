import type { AuthorizationServer } from '../../api/authorization-server.ts';

/** CAs that vouch for a server's TLS certificate; without `pem` the system's. Not `known` while caBundleRef was never read. */
export type ServerTrust = { readonly known: true; readonly pem: string | undefined } | { readonly known: false };

/** Of a reference the status keeps what was read last, so that it outlives a restart and what becomes of the object. */
export function serverTrust({ spec, status }: Pick<AuthorizationServer, 'spec' | 'status'>): ServerTrust {
  if (spec.caBundleRef === undefined) return { known: true, pem: spec.caBundle };
  return status?.caBundle === undefined ? { known: false } : { known: true, pem: status.caBundle };
}
