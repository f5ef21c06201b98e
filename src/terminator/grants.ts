import type { AuthorizationServer } from '../api/authorization-server.ts';
import { namespaceGranted } from '../api/namespace-grant.ts';
import type { Frontend, FrontendRef } from './frontends/frontend.ts';
import type { TerminatorSources } from './sources.ts';
import { type Trust, trustOf } from '../x509/trust.ts';

/** Which frontends a server admits, and what they are to trust for it. */
export class Grants {
  readonly #sources: Pick<TerminatorSources, 'servers' | 'issuers' | 'namespaces'>;

  constructor(sources: Pick<TerminatorSources, 'servers' | 'issuers' | 'namespaces'>) {
    this.#sources = sources;
  }

  /** Undefined also where it exists and does not admit the frontend. */
  serverOf(frontend: Frontend): AuthorizationServer | undefined {
    const { optIn } = frontend;
    const server = optIn.server === undefined ? undefined : this.#sources.servers.get(undefined, optIn.server);
    return server !== undefined && this.admits(server, frontend) ? server : undefined;
  }

  admits(server: AuthorizationServer, frontend: FrontendRef): boolean {
    if (isListed(server, frontend)) return true;
    const { namespace: name } = frontend;
    const namespace = this.#sources.namespaces.get(undefined, name) ?? { name, labels: {} };
    return namespaceGranted(server.spec.resourceServers?.namespaces, namespace);
  }

  trustOf(server: AuthorizationServer): Trust {
    return trustOf(server, (issuer) => this.#sources.issuers.get(undefined, issuer));
  }
}

export function isListed(server: AuthorizationServer, { kind, namespace, name }: FrontendRef): boolean {
  return (server.spec.terminators ?? []).some(
    (ref) => ref.kind === kind && ref.namespace === namespace && ref.name === name,
  );
}
