import { IN_USE_FINALIZER } from '../api/annotations.ts';
import type { Check, Finding, View } from '../runtime/pass.ts';
import type { Desired } from './desired.ts';
import type { Observed } from './observed.ts';
import { driverFor } from './registry.ts';
import type { ServerStep } from './steps.ts';

export type ServerView = View<Observed, Desired>;
export type ServerFinding = Finding<ServerStep>;
type ServerCheck = Check<ServerView, ServerStep>;

export const Condition = {
  /** Clients can be registered. */
  ready: 'Ready',
  /** Its metadata was read and fits. */
  discovered: 'Discovered',
  /** Only while it is being deleted: whether that can be finished. Apart from Ready: its clients still work. */
  deletable: 'Deletable',
} as const;

const lookForClientsMs = 60_000;
const lookForCredentialMs = 30_000;

const isDeleting = ({ observed }: ServerView) => observed.server.metadata.deletionTimestamp !== undefined;

function unready(reason: string, message: string): ServerFinding {
  return { condition: Condition.ready, status: 'False', reason, message };
}

const inUse: ServerCheck = {
  name: 'inUse',
  find(view) {
    const { clients } = view.observed;
    if (!isDeleting(view) || clients === 0) return undefined;
    return {
      condition: Condition.deletable,
      status: 'False',
      reason: 'InUse',
      message:
        `${clients} OAuthClient${clients === 1 ? ' refers' : 's refer'} to this server, so it is kept: without it they could not be deregistered. ` +
        'Delete them; the deletion is then finished by itself.',
      at: view.now + lookForClientsMs,
    };
  },
};

const finalizerToRemove: ServerCheck = {
  name: 'finalizerToRemove',
  find(view) {
    if (!isDeleting(view) || view.observed.clients > 0) return undefined;
    return {
      condition: Condition.deletable,
      status: 'Unknown',
      reason: 'FinalizerToRemove',
      message: 'No OAuthClient refers to this server any more: it is being released.',
      step: { name: 'removeFinalizer' },
      basis: view.observed.server.metadata.resourceVersion,
    };
  },
};

const finalizerToAdd: ServerCheck = {
  name: 'finalizerToAdd',
  find(view) {
    const { metadata } = view.observed.server;
    if (isDeleting(view) || metadata.finalizers.includes(IN_USE_FINALIZER)) return undefined;
    return {
      condition: Condition.ready,
      status: 'Unknown',
      reason: 'FinalizerToAdd',
      message: 'The server is being protected against deletion while it is in use.',
      step: { name: 'addFinalizer' },
      basis: metadata.resourceVersion,
    };
  },
};

const driverKnown: ServerCheck = {
  name: 'driverKnown',
  find({ observed: { server } }) {
    if (driverFor(server) !== undefined) return undefined;
    return unready(
      'DriverUnsupported',
      'This version of the operator does not know how to register clients here: set dynamicRegistration: {}.',
    );
  },
};

const caBundleUsable: ServerCheck = {
  name: 'caBundleUsable',
  find({ desired: { caBundleProblem } }) {
    if (caBundleProblem === undefined) return undefined;
    // Without it the server could not be authenticated, so nothing is asked of it.
    return { ...unready('CABundleInvalid', `spec.caBundle cannot be used. ${caBundleProblem}`), blocks: true };
  },
};

const credentialUsable: ServerCheck = {
  name: 'credentialUsable',
  find({ observed: { credentialProblem }, now }) {
    if (credentialProblem === undefined) return undefined;
    return { ...unready(credentialProblem.code, credentialProblem.message), at: now + lookForCredentialMs };
  },
};

const templatesUsable: ServerCheck = {
  name: 'templatesUsable',
  find({ desired: { templateProblem } }) {
    if (templateProblem === undefined) return undefined;
    return unready('IdentityTemplateInvalid', `spec.clients.${templateProblem}.`);
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
        `${supported.length === 0 ? 'none' : supported.join(', ')}. Enable mutual TLS there.`,
    );
  },
};

const registrationSupported: ServerCheck = {
  name: 'registrationSupported',
  find(view) {
    const discovered = discoveredOf(view);
    if (discovered === undefined || discovered.endpoints.registrationEndpoint !== undefined) return undefined;
    return unready(
      'RegistrationUnsupported',
      'The server publishes no registration_endpoint (RFC 7591): enable dynamic client registration there.',
    );
  },
};

/** The last one: a step hides what comes after it. */
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

/** Deletion, then protection, then what was written, then what the server says. */
export const serverChecks: readonly ServerCheck[] = [
  inUse,
  finalizerToRemove,
  finalizerToAdd,
  driverKnown,
  caBundleUsable,
  credentialUsable,
  templatesUsable,
  methodSupported,
  registrationSupported,
  discoveryFresh,
];
