/** Which client_id an OAuthClient may choose, and which client that is there already may become it. Pure. */
import type { ClientGrants } from '../../api/authorization-server.ts';
import type { OAuthClientSpec } from '../../api/oauth-client.ts';
import type { Violation } from '../grants.ts';

export interface ClientIdRequest {
  spec: Pick<OAuthClientSpec, 'clientId' | 'adoptionPolicy'>;
  namespace: string;
  name: string;
  clusterId: string;
}

/**
 * Of a client that has the id already: `Never` to be touched; taken over `IfMarked` as this OAuthClient's; or, being `Listed` by the
 * platform for this OAuthClient, also without a mark. One that is marked as another's is never touched.
 */
export type Adoption = 'Never' | 'IfMarked' | 'Listed';

export function adoptionOf(grants: ClientGrants | undefined, request: ClientIdRequest): Adoption {
  if (grants?.adoption === 'Never' || request.spec.adoptionPolicy === 'Never') return 'Never';
  return isListed(grants, request) ? 'Listed' : 'IfMarked';
}

/** Deny by default: resource servers may know clients by their ids. */
export function clientIdViolations(grants: ClientGrants | undefined, request: ClientIdRequest): Violation[] {
  const { clientId, adoptionPolicy } = request.spec;
  const violations: Violation[] = [];
  if (clientId !== undefined && !isListed(grants, request) && !isGranted(grants?.clientIds ?? [], clientId, request)) {
    violations.push({
      field: 'clientId',
      message: `The client_id ${clientId} is not granted here: create the OAuthClient without clientId, or ask the platform team to grant it.`,
    });
  }
  if (adoptionPolicy === 'IfMarked' && grants?.adoption === 'Never') {
    violations.push({
      field: 'adoptionPolicy',
      message: 'The adoption policy IfMarked is not granted here: leave it out or ask the platform team to grant it.',
    });
  }
  return violations;
}

function isListed(grants: ClientGrants | undefined, { spec: { clientId }, namespace, name }: ClientIdRequest): boolean {
  const listed = grants?.adoptable?.find((one) => one.clientId === clientId);
  return listed !== undefined && listed.namespace === namespace && listed.name === name;
}

/** Compared as text: `{namespace}`, `{name}` and `{clusterId}` are this client's, and a `*` at the end is any rest. */
function isGranted(
  templates: readonly string[],
  clientId: string,
  { namespace, name, clusterId }: ClientIdRequest,
): boolean {
  const own: Record<string, string> = { namespace, name, clusterId };
  return templates.some((template) => {
    const filled = template.replace(/\{(namespace|name|clusterId)\}/g, (_all, key: string) => own[key] ?? '');
    return filled.endsWith('*') ? clientId.startsWith(filled.slice(0, -1)) : clientId === filled;
  });
}
