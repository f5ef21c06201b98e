import type { AuthorizationServer } from '../../api/authorization-server.ts';
import { authMethod } from '../../api/oauth-client.ts';
import { NOT_ENFORCED } from '../../authserver/proof/canary.ts';
import { capabilitiesOf } from '../../authserver/capabilities.ts';
import { configurable } from '../../authserver/registration/client-configuration.ts';
import { keysByReference } from '../../authserver/registration/client-metadata.ts';
import type { ServerCapabilities } from '../../authserver/connection/connection.ts';
import { issuerViolations } from '../../issuer/grants.ts';
import { namespaceGranted } from '../../api/namespace-grant.ts';
import type { Check } from '../../runtime/pass.ts';
import type { Desired } from '../desired.ts';
import { deniedOfSpec, graced } from '../withdrawal.ts';
import { Condition, NOT_GRANTED, stuck, waiting, type ClientStep, type ClientView } from '../step.ts';

type ClientCheck = Check<ClientView, ClientStep>;

/** Unknown and not granted read the same, so that nobody learns what exists by asking. */
const serverGranted: ClientCheck = {
  name: 'serverGranted',
  find(view) {
    const { client, server, namespace, record } = view.observed;
    // One that is being deleted takes on no client, but goes on serving those it has.
    const known = record?.state?.server.name === server?.metadata.name;
    if (
      server !== undefined &&
      namespace !== undefined &&
      (known || server.metadata.deletionTimestamp === undefined) &&
      (namespaceGranted(server.spec.clients?.namespaces, namespace) || graced(view))
    ) {
      return undefined;
    }
    return stuck(
      Condition.registered,
      'AuthorizationServerNotGranted',
      `AuthorizationServer "${client.spec.authorizationServerRef.name}" doesn't exist or is not granted to namespace ` +
        `"${client.metadata.namespace}". Check the name, or ask the platform team to grant it in spec.clients.namespaces.`,
    );
  },
};

/** An AuthorizationServer made anew under the name of another: its predecessor's tokens and keys are not for it. */
const serverUnchanged: ClientCheck = {
  name: 'serverUnchanged',
  find({ observed: { server, record } }) {
    const registered = record?.state?.server.issuer;
    if (registered === undefined || registered === server?.spec.issuer) return undefined;
    return stuck(
      Condition.registered,
      'AuthorizationServerChanged',
      `The client is registered at ${registered}, but AuthorizationServer "${server?.metadata.name}" now stands for another issuer. ` +
        'Create a second OAuthClient, switch the application to its Secret, then delete this one with deletionPolicy: Orphan.',
    );
  },
};

const serverReady: ClientCheck = {
  name: 'serverReady',
  find({ observed: { server, record } }) {
    const ready = server?.status?.conditions?.find((c) => c.type === 'Ready');
    // What keeps the server from taking new clients (a missing credential) must not keep those it has from renewing.
    // Whether it authenticates its clients only a client can find out, and none is published before.
    const usable =
      ready?.status !== 'False' || ready.reason === NOT_ENFORCED || record?.state?.registration !== undefined;
    if (usable && server?.status?.endpoints !== undefined) return undefined;
    const why =
      ready?.status === 'False' ? 'has a problem that the platform team sees in its status' : 'is not ready yet';
    return waiting(
      Condition.registered,
      'AuthorizationServerNotReady',
      `AuthorizationServer "${server?.metadata.name}" ${why}; this client goes on by itself once it is ready.`,
    );
  },
};

/** What the server says of a client that is not registered; of one that is it decides itself: metadata that are wrong for a while take nothing from it. */
function offeredTo({ observed: { server, record } }: ClientView): ServerCapabilities | undefined {
  return record?.state?.registration === undefined ? server?.status?.capabilities : undefined;
}

/** What the server says that it can't do is not tried, whatever else is wrong with it. */
const methodSupported: ClientCheck = {
  name: 'methodSupported',
  find(view) {
    const { server } = view.observed;
    const capabilities = offeredTo(view);
    if (server === undefined || capabilities === undefined) return undefined;
    const message = methodUnsupported(capabilities, view.desired) ?? unrotatable(server, view.desired);
    return message === undefined ? undefined : stuck(Condition.registered, 'Unsupported', message);
  },
};

/**
 * Of what is granted. Scopes are not looked at: a server may keep those that it has to itself (RFC 8414 §2), and some show
 * `openid` alone.
 */
const requestOffered: ClientCheck = {
  name: 'requestOffered',
  find(view) {
    const { grantTypes, responseTypes } = offeredTo(view) ?? {};
    const missing = [
      ...notOffered(grantTypes, view.desired.grantTypes, 'grant type', 'grantTypes'),
      ...notOffered(responseTypes, view.desired.responseTypes, 'response type', 'responseTypes'),
    ];
    return missing.length === 0 ? undefined : stuck(Condition.registered, 'Unsupported', missing.join(' '));
  },
};

function methodUnsupported({ authMethods }: ServerCapabilities, desired: Pick<Desired, 'method'>): string | undefined {
  const { method } = desired;
  if (authMethods?.includes(method) === false) {
    const others = authMethods.filter((each) => authMethod.safeParse(each).success);
    return (
      `The authorization server doesn't support ${method}; it offers ${authMethods.join(', ')}. ` +
      (others.length === 0
        ? 'It has no mutual TLS (RFC 8705), or that is off: ask the platform team to enable it, or for another server.'
        : `Create an OAuthClient with tokenEndpointAuthMethod: ${others.join(' or ')}, or ask for another server.`)
    );
  }
  return undefined;
}

function notOffered(offered: readonly string[] | undefined, asked: readonly string[], what: string, field: string) {
  return asked
    .filter((value) => offered?.includes(value) === false)
    .map(
      (value) =>
        `The authorization server doesn't support the ${what} ${value}; it offers ${offered?.join(', ')}. ` +
        `Leave it out of ${field}, or ask the platform team to enable it there.`,
    );
}

/** A key that is registered itself is replaced by an update. */
function unrotatable(server: AuthorizationServer, { method }: Pick<Desired, 'method'>): string | undefined {
  if (method === 'tls_client_auth' || keysByReference(server) || configurable(server, 'PUT')) return undefined;
  return (
    `AuthorizationServer "${server.metadata.name}" changes no registration, so that a self-signed certificate could never be renewed there. ` +
    'Use tls_client_auth; or ask the platform team for dynamicRegistration.clientKeys: jwks_uri.'
  );
}

/** What no client of this kind of server can be, whatever the platform grants. */
const requestSupported: ClientCheck = {
  name: 'requestSupported',
  find({ observed: { server, client }, desired: { method, identity, grantTypes } }) {
    const can = server && capabilitiesOf(server);
    if (can === undefined) return undefined;
    const problems = [
      ...(can.methods.includes(method)
        ? []
        : [
            `It does not know ${method}: create an OAuthClient with ${can.methods.join(' or ')}, or ask for another server.`,
          ]),
      ...(method !== 'tls_client_auth' || !identity.ok || can.subjectParameters.includes(identity.parameter)
        ? []
        : [
            `It knows clients by ${can.subjectParameters.join(', ')} and not by ${identity.parameter}: create an OAuthClient with ` +
              'certificate.subject.dn, or ask the platform team for an identity template with dn.',
          ]),
      ...(client.spec.clientId === undefined || can.clientIdFrom === 'us'
        ? []
        : ['It chooses client_ids itself: create the OAuthClient without clientId; leave clientId out.']),
      ...grantTypes
        .filter((grant) => can.grantTypes?.includes(grant) === false)
        .map((grant) => `It can't register the grant type ${grant}: leave it out.`),
    ];
    if (problems.length === 0) return undefined;
    const message = `AuthorizationServer "${server?.metadata.name}" can't have this client. ${problems.join(' ')}`;
    return stuck(Condition.registered, 'Unsupported', message);
  },
};

/** The keys would be registered, or not be found, where the platform wants neither. */
const keySetServed: ClientCheck = {
  name: 'keySetServed',
  find({ observed: { server, jwksUrl }, desired: { method } }) {
    if (jwksUrl !== undefined || method === 'tls_client_auth' || !keysByReference(server)) return undefined;
    return stuck(
      Condition.registered,
      'KeySetNotServed',
      `AuthorizationServer "${server?.metadata.name}" is to read this client's keys from the operator, which serves none. ` +
        'The platform team sets jwks.url when it installs the operator, or clientKeys: jwks at the server.',
    );
  },
};

const requestGranted: ClientCheck = {
  name: 'requestGranted',
  find(view) {
    const denials = deniedOfSpec(view);
    if (denials.length === 0 || graced(view)) return undefined;
    const finding = stuck(Condition.registered, NOT_GRANTED, denials.map(({ message }) => message).join(' '));
    // How it ends does not matter before it ends, nor how it would begin: what is registered goes on.
    const known = view.observed.record?.state?.registration !== undefined;
    return {
      ...finding,
      blocks: !known || denials.some(({ field }) => field !== 'deletionPolicy' && field !== 'adoptionPolicy'),
    };
  },
};

const issuerNamed: ClientCheck = {
  name: 'issuerNamed',
  find({ desired: { issuerName } }) {
    if (issuerName !== undefined) return undefined;
    return stuck(
      Condition.certificate,
      'IssuerNotNamed',
      'No issuer is named and the server has no default: set spec.certificate.issuerRef.name.',
    );
  },
};

const issuerGranted: ClientCheck = {
  name: 'issuerGranted',
  find({ observed: { server, issuer, namespace, client, record }, desired: { issuerName } }) {
    // One that is being deleted takes on no client, but goes on signing for those it has.
    const known = record?.state?.certificates.some((c) => c.issuer === issuerName) === true;
    if (
      issuer !== undefined &&
      namespace !== undefined &&
      issuerName !== undefined &&
      (known || issuer.metadata.deletionTimestamp === undefined) &&
      server?.spec.clients?.issuers?.includes(issuerName) === true &&
      namespaceGranted(issuer.spec.policy?.namespaces, namespace)
    ) {
      return undefined;
    }
    return stuck(
      Condition.certificate,
      'IssuerNotGranted',
      `ClientCertificateIssuer "${issuerName}" doesn't exist or is not granted to namespace "${client.metadata.namespace}" for this ` +
        'server. Check the name, or ask the platform team to grant it in the issuer’s spec.policy.namespaces and the server’s spec.clients.issuers.',
    );
  },
};

const certificateGranted: ClientCheck = {
  name: 'certificateGranted',
  find({ observed: { issuer, namespace }, desired }) {
    if (issuer === undefined || namespace === undefined) return undefined;
    const violations = issuerViolations(issuer, {
      namespace,
      durationMs: desired.certificate.durationMs,
      keyAlgorithm: desired.certificate.algorithm,
      method: desired.method,
    });
    const [first] = violations;
    return first === undefined
      ? undefined
      : stuck(Condition.certificate, first.reason, violations.map((v) => v.message).join(' '));
  },
};

const identityGranted: ClientCheck = {
  name: 'identityGranted',
  find({ desired: { identity } }) {
    return identity.ok ? undefined : stuck(Condition.certificate, 'IdentityNotGranted', identity.message);
  },
};

export const grantChecks: readonly ClientCheck[] = [
  serverGranted,
  serverUnchanged,
  methodSupported,
  serverReady,
  requestSupported,
  keySetServed,
  issuerNamed,
  issuerGranted,
  requestGranted,
  requestOffered,
  certificateGranted,
  identityGranted,
];
