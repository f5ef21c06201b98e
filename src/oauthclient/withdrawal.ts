import { z } from 'zod';
import { durationMs } from '../api/duration.ts';
import { namespaceGranted } from '../api/namespace-grant.ts';
import { clientIdViolations } from '../authserver/registration/client-ids.ts';
import { clientGrants, type GrantRequest, type Violation } from '../authserver/grants.ts';
import { certificateIn, type RecordState } from './record.ts';
import type { ClientView } from './step.ts';

/** Comes before the grants are looked at, but for a client that is registered. */
const NO_ISSUER = '(none is named, and the server has no default)';
const NO_SCOPE: Violation = {
  field: 'scope',
  message:
    'No scope is granted at this server, and a client without one would get what the server likes: ask the platform team for scopes.',
};

/** What of the spec is not granted, its identity apart. */
export function deniedOfSpec(view: ClientView): Violation[] {
  const { observed, desired } = view;
  const { server, namespace } = observed;
  if (server === undefined || namespace === undefined) return [];
  const grants = server.spec.clients;
  const denials = clientGrants(grants, {
    namespace,
    issuer: desired.issuerName ?? NO_ISSUER,
    responseTypes: desired.responseTypes,
    method: desired.method,
    grantTypes: desired.grantTypes,
    scope: desired.scope,
    redirectURIs: desired.redirectURIs,
    boundTokens: desired.boundTokens,
    deletionPolicy: desired.deletionPolicy,
  });
  // Who is granted nothing learns that alone.
  if (!namespaceGranted(grants?.namespaces, namespace)) return denials;
  const ofId = clientIdDenials(view);
  return desired.scope === undefined ? [...denials, ...ofId, NO_SCOPE] : [...denials, ...ofId];
}

/** What can't change is denied of the spec and of the registration alike. */
function clientIdDenials({ observed: { server, client, clusterId } }: ClientView): Violation[] {
  const { namespace, name } = client.metadata;
  return clientIdViolations(server?.spec.clients, { spec: client.spec, namespace, name, clusterId });
}

const members = z.object({
  grant_types: z.array(z.string()).catch([]),
  response_types: z.array(z.string()).catch([]),
  redirect_uris: z.array(z.string()).catch([]),
  scope: z.string().optional().catch(undefined),
  tls_client_certificate_bound_access_tokens: z.boolean().catch(true),
});

/** As it is registered and certified now, whatever the spec has become since. */
function registeredRequest(state: RecordState): Omit<GrantRequest, 'namespace' | 'deletionPolicy'> {
  const accepted = members.parse(state.registration?.accepted ?? {});
  return {
    method: state.method,
    issuer: (certificateIn(state, 'Published') ?? certificateIn(state, 'Next'))?.issuer ?? '',
    grantTypes: accepted.grant_types,
    responseTypes: accepted.response_types,
    scope: accepted.scope,
    redirectURIs: accepted.redirect_uris,
    boundTokens: accepted.tls_client_certificate_bound_access_tokens,
  };
}

/**
 * What the platform granted once and grants no longer; empty where all is granted, undefined where nobody can tell: where
 * the server or the namespace are not there, nobody took a grant away. Neither does a spec that asks for too much, nor a
 * registration that an update brings into line.
 */
export function withdrawnGrants(view: ClientView): Violation[] | undefined {
  const { server, namespace, record } = view.observed;
  const state = record?.state;
  if (state === undefined || namespace === undefined || server?.spec.issuer !== state.server.issuer) return undefined;
  const { identity } = view.desired;
  const ofIdentity = identity.ok ? [] : [{ field: 'certificate.subject', message: identity.message }];
  const asked = [...deniedOfSpec(view), ...ofIdentity];
  if (asked.length === 0) return [];
  if (state.registration === undefined) return state.withdrawal === undefined ? [] : asked;
  const request: GrantRequest = { namespace, deletionPolicy: 'Delete', ...registeredRequest(state) };
  // How it ends is nothing that is registered, nor how it began.
  const registered = [...clientGrants(server.spec.clients, request), ...clientIdDenials(view)].filter(
    ({ field }) => field !== 'deletionPolicy' && field !== 'adoptionPolicy',
  );
  return [...registered, ...ofIdentity];
}

const defaultGracePeriod = '24h';

/** When a client is deregistered whose grants are withdrawn; epoch milliseconds. */
export function withdrawalEnd({ server }: Pick<ClientView['observed'], 'server'>, since: string): number {
  return Date.parse(since) + durationMs(server?.spec.clients?.withdrawalGracePeriod ?? defaultGracePeriod);
}

/** For the time being it goes on as it was, and with nothing new. */
export function graced(view: ClientView): boolean {
  const state = view.observed.record?.state;
  if (state?.withdrawal === undefined || state.registration === undefined) return false;
  if (view.now >= withdrawalEnd(view.observed, state.withdrawal.since)) return false;
  const registered = (withdrawnGrants(view) ?? []).map(({ message }) => message);
  return registered.length > 0 && deniedOfSpec(view).every(({ message }) => registered.includes(message));
}
