import { IN_USE_FINALIZER } from '../api/annotations.ts';
import { inUseChecks } from '../runtime/in-use.ts';
import type { Check } from '../runtime/pass.ts';
import { NOT_ENFORCED, notEnforced } from './proof/canary.ts';
import { keysByReference } from './registration/client-metadata.ts';
import { driverFor } from './registry.ts';
import { outageMessage } from './connection/traffic.ts';
import { trustChecks } from './trust-bundle/checks.ts';
import { Condition, type ServerFinding, type ServerStep, type ServerView } from './step.ts';

type ServerCheck = Check<ServerView, ServerStep>;

/** Changes of such objects are news of their own; this is for one that was missed. */
const lookForObjectMs = 30_000;

function unready(reason: string, message: string): ServerFinding {
  return { condition: Condition.ready, status: 'False', reason, message };
}

const { inUse, finalizerToRemove, finalizerToAdd } = inUseChecks<ServerView>({
  finalizer: IN_USE_FINALIZER,
  useOf: ({ observed: { server, clients } }) => ({ metadata: server.metadata, users: clients }),
  messages: {
    inUse: (users) =>
      `${users} OAuthClient${users === 1 ? ' refers' : 's refer'} to this server, so it is kept: without it they could not be deregistered. ` +
      'Delete them; the deletion is then finished by itself.',
    unused: 'No OAuthClient refers to this server any more: it is being released.',
    unprotected: 'The server is being protected against deletion while it is in use.',
  },
});

const driverKnown: ServerCheck = {
  name: 'driverKnown',
  find({ observed: { server } }) {
    if (driverFor(server) !== undefined) return undefined;
    return unready(
      'DriverUnsupported',
      'This version of the operator does not know how to register clients here: set dynamicRegistration: {} or keycloak.',
    );
  },
};

const caBundleUsable: ServerCheck = {
  name: 'caBundleUsable',
  find({ desired: { caBundleProblem }, now }) {
    if (caBundleProblem === undefined) return undefined;
    const { reason, message, blocks } = caBundleProblem;
    // Without one the server could not be authenticated, so nothing is asked of it.
    return { ...unready(reason, message), blocks, at: now + lookForObjectMs };
  },
};

const credentialUsable: ServerCheck = {
  name: 'credentialUsable',
  find({ observed: { credentialProblem }, now }) {
    if (credentialProblem === undefined) return undefined;
    return { ...unready(credentialProblem.code, credentialProblem.message), at: now + lookForObjectMs };
  },
};

const templatesUsable: ServerCheck = {
  name: 'templatesUsable',
  find({ desired: { templateProblem } }) {
    if (templateProblem === undefined) return undefined;
    return unready('IdentityTemplateInvalid', `spec.clients.${templateProblem}.`);
  },
};

const keySetsServed: ServerCheck = {
  name: 'keySetsServed',
  find({ observed: { server, keySetsServed: served } }) {
    if (served || !keysByReference(server)) return undefined;
    return unready(
      'KeySetNotServed',
      'spec.dynamicRegistration.clientKeys is jwks_uri, but this operator serves no key sets: install it with jwks.url, or write jwks.',
    );
  },
};

const discoveredOf = ({ observed: { discovered }, desired }: ServerView) =>
  discovered?.basis === desired.discoveryBasis ? discovered : undefined;

const methodSupported: ServerCheck = {
  name: 'methodSupported',
  find(view) {
    const supported = discoveredOf(view)?.capabilities.authMethods;
    const { methods } = view.desired;
    if (supported === undefined || methods.some((method) => supported.includes(method))) return undefined;
    return unready(
      'MutualTLSUnsupported',
      `The server does not support ${methods.join(' or ')} (RFC 8705): its token_endpoint_auth_methods_supported are ` +
        `${supported.length === 0 ? 'none' : supported.join(', ')}. Enable mutual TLS there; a product that has none can't have ` +
        'clients with certificates: register them at one that has.',
    );
  },
};

const registrationSupported: ServerCheck = {
  name: 'registrationSupported',
  find(view) {
    const discovered = discoveredOf(view);
    if (view.observed.server.spec.dynamicRegistration === undefined) return undefined;
    if (discovered === undefined || discovered.endpoints.registrationEndpoint !== undefined) return undefined;
    return unready(
      'RegistrationUnsupported',
      'The server publishes no registration_endpoint (RFC 7591): enable dynamic client registration there.',
    );
  },
};

const authorizationOf = ({ observed: { authorization }, desired }: ServerView) =>
  authorization?.basis === desired.authorizationBasis ? authorization : undefined;

/** Also while it is asked again. */
const authorized: ServerCheck = {
  name: 'authorized',
  find(view) {
    const problem = authorizationOf(view)?.problem;
    return problem && unready(problem.code, problem.message);
  },
};

/** Before the first answer after a restart, what was found before it holds. */
const clientsAuthenticated: ServerCheck = {
  name: 'clientsAuthenticated',
  find({ observed: { enforcement, server } }) {
    const said = server.status?.conditions?.find(({ type }) => type === Condition.ready);
    if (enforcement === undefined)
      return said?.reason === NOT_ENFORCED ? unready(NOT_ENFORCED, said.message) : undefined;
    return enforcement.intruder === undefined ? undefined : unready(NOT_ENFORCED, notEnforced(enforcement.intruder));
  },
};

const answers: ServerCheck = {
  name: 'answers',
  find({ observed: { outages } }) {
    if (outages.length === 0) return undefined;
    const message = outages.map(outageMessage).join(' ');
    return { condition: Condition.reachable, status: 'False', reason: 'ServerUnavailable', message };
  },
};

/** A step hides what comes after it. */
const discoveryFresh: ServerCheck = {
  name: 'discoveryFresh',
  find(view) {
    const discovered = discoveredOf(view);
    if (discovered !== undefined && view.now < discovered.until) return undefined;
    return {
      condition: Condition.discovered,
      status: 'Unknown',
      reason: 'Discovering',
      message: 'The metadata of the server is being read.',
      step: { name: 'discover' },
      basis: view.desired.discoveryBasis,
    };
  },
};

/** The last one. */
const authorizationFresh: ServerCheck = {
  name: 'authorizationFresh',
  find(view) {
    const { authorizationBasis: basis } = view.desired;
    const known = authorizationOf(view);
    if (basis === undefined || (known !== undefined && view.now < known.until)) return undefined;
    const message = 'The server is being asked whether it lets the operator manage clients.';
    return {
      condition: Condition.authorized,
      status: 'Unknown',
      reason: 'Authorizing',
      message,
      step: { name: 'authorize' },
      basis,
      // What discovery found is true all the same.
      deferrable: true,
    };
  },
};

/** Deletion, then protection, then what is published for the server, then what was written, then what the server says. */
export const serverChecks: readonly ServerCheck[] = [
  inUse,
  trustChecks.trustToWithdraw,
  finalizerToRemove,
  finalizerToAdd,
  trustChecks.trustBlocked,
  trustChecks.trustToPublish,
  driverKnown,
  caBundleUsable,
  credentialUsable,
  templatesUsable,
  keySetsServed,
  methodSupported,
  registrationSupported,
  authorized,
  clientsAuthenticated,
  answers,
  discoveryFresh,
  authorizationFresh,
];
