import { createHash } from 'node:crypto';
import type { AuthMethod } from '../api/oauth-client.ts';
import { templateProblem } from './identity.ts';
import type { Observed } from './observed.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import { OperatorError } from '../errors.ts';

export interface Desired {
  /** What discovery depends on; a change makes what was discovered void. */
  discoveryBasis: string;
  /** What is wrong with spec.caBundle. */
  caBundleProblem: string | undefined;
  /** What is wrong with spec.clients.identityTemplates. */
  templateProblem: string | undefined;
  /** token_endpoint_auth_method values of which the server must support one. */
  methods: readonly AuthMethod[];
}

const METHODS: readonly AuthMethod[] = ['tls_client_auth', 'self_signed_tls_client_auth'];

export function desired({ server: { metadata, spec } }: Observed): Desired {
  const { issuer, caBundle, connectTo, mtlsEndpoints } = spec;
  const granted = spec.clients?.methods ?? [];
  return {
    discoveryBasis: createHash('sha256')
      .update(JSON.stringify([metadata.uid, issuer, caBundle, connectTo, mtlsEndpoints]))
      .digest('hex'),
    caBundleProblem: caBundle === undefined ? undefined : pemProblem(caBundle),
    templateProblem: firstTemplateProblem(spec.clients?.identityTemplates ?? []),
    methods: granted.length === 0 ? METHODS : granted,
  };
}

function pemProblem(caBundle: string): string | undefined {
  try {
    certificatesFromPem(caBundle);
    return undefined;
  } catch (error) {
    if (error instanceof OperatorError) return error.message;
    throw error;
  }
}

function firstTemplateProblem(templates: Parameters<typeof templateProblem>[0][]): string | undefined {
  for (const [index, template] of templates.entries()) {
    const problem = templateProblem(template);
    if (problem !== undefined) return `identityTemplates[${index}]: ${problem}`;
  }
  return undefined;
}
