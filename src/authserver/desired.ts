import { createHash } from 'node:crypto';
import type { AuthMethod } from '../api/oauth-client.ts';
import { templateProblem } from './identity.ts';
import type { Observed } from './observed.ts';
import { pemProblem } from './connection/ca-bundle.ts';

export interface Desired {
  /** What discovery depends on; a change makes what was discovered void. */
  discoveryBasis: string;
  /** What it depends on whether the operator may manage clients; undefined where no credential does that. */
  authorizationBasis: string | undefined;
  /** CAs in effect: what is written, else what was read last. */
  caBundle: string | undefined;
  /** `blocks`: there is nothing to fall back on. */
  caBundleProblem: { reason: string; message: string; blocks: boolean } | undefined;
  /** What is wrong with spec.clients.identityTemplates. */
  templateProblem: string | undefined;
  /** token_endpoint_auth_method values of which the server must support one. */
  methods: readonly AuthMethod[];
}

const METHODS: readonly AuthMethod[] = ['tls_client_auth', 'self_signed_tls_client_auth'];

export function desired(observed: Observed): Desired {
  const { metadata, spec } = observed.server;
  const { issuer, connectTo, mtlsEndpoints, proxyURL } = spec;
  const { caBundle, caBundleProblem } = authorities(observed);
  const granted = spec.clients?.methods ?? [];
  const way = [metadata.uid, issuer, caBundle, connectTo, mtlsEndpoints, proxyURL];
  const { credential } = observed;
  return {
    discoveryBasis: digest(way),
    authorizationBasis: credential === undefined ? undefined : digest([...way, spec.keycloak, credential]),
    caBundle,
    caBundleProblem,
    templateProblem: firstTemplateProblem(spec.clients?.identityTemplates ?? []),
    methods: granted.length === 0 ? METHODS : granted,
  };
}

function digest(values: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex');
}

/** What a reference led to stays in use until it leads to something else that can be used. */
function authorities({ server, caBundle: read }: Observed): Pick<Desired, 'caBundle' | 'caBundleProblem'> {
  const { spec, status } = server;
  if (read === undefined) {
    const problem = spec.caBundle === undefined ? undefined : pemProblem(spec.caBundle);
    const message = `spec.caBundle cannot be used. ${problem}`;
    const caBundleProblem = problem === undefined ? undefined : { reason: 'CABundleInvalid', message, blocks: true };
    return { caBundle: spec.caBundle, caBundleProblem };
  }
  if ('pem' in read) return { caBundle: read.pem, caBundleProblem: undefined };
  const known = status?.caBundle;
  const meanwhile =
    known === undefined ? 'Nothing is asked of the server before.' : 'What was read before stays in use meanwhile.';
  const { reason, message } = read;
  return {
    caBundle: known,
    caBundleProblem: { reason, message: `${message} ${meanwhile}`, blocks: known === undefined },
  };
}

function firstTemplateProblem(templates: Parameters<typeof templateProblem>[0][]): string | undefined {
  for (const [index, template] of templates.entries()) {
    const problem = templateProblem(template);
    if (problem !== undefined) return `identityTemplates[${index}]: ${problem}`;
  }
  return undefined;
}
