import { IN_USE_FINALIZER } from '../api/annotations.ts';
import { inUseChecks, isDeleting, isUnused } from '../runtime/in-use.ts';
import type { Check } from '../runtime/pass.ts';
import { keyDigest } from '../x509/key.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import type { Authority } from './authority.ts';
import { isManagedFor } from './certificate-authority-secret.ts';
import type { Desired } from './desired.ts';
import type { Observed } from './observed.ts';
import { Condition, type IssuerFinding, type IssuerStep, type IssuerView } from './step.ts';

type IssuerCheck = Check<IssuerView, IssuerStep>;

const useOf = ({ observed: { issuer, users } }: IssuerView) => ({ metadata: issuer.metadata, users });

function unready(reason: string, message: string): IssuerFinding {
  return { condition: Condition.ready, status: 'False', reason, message, blocks: true };
}

const { inUse, finalizerToRemove, finalizerToAdd } = inUseChecks<IssuerView>({
  finalizer: IN_USE_FINALIZER,
  useOf,
  messages: {
    inUse: (users) =>
      `${users} OAuthClient${users === 1 ? ' uses' : 's use'} this issuer, so it is kept and goes on signing for them. ` +
      'Move them to another issuer or delete them; the deletion is then finished by itself.',
    unused: 'Nobody uses this issuer any more: it is being released.',
    unprotected: 'The issuer is being protected against deletion while it is in use.',
  },
});

const authorityToDelete: IssuerCheck = {
  name: 'authorityToDelete',
  find(view) {
    const { issuer, secret, definitionTerminating } = view.observed;
    if (!isUnused(useOf(view)) || definitionTerminating || view.desired.authority.kind !== 'managed') return undefined;
    if (secret === undefined || !isManagedFor(secret, issuer.metadata.name)) return undefined;
    return {
      condition: Condition.deletable,
      status: 'Unknown',
      reason: 'AuthorityToDelete',
      message: 'Nobody uses this issuer any more: its CA is being deleted.',
      step: { name: 'deleteAuthority' },
      basis: secret.resourceVersion,
    };
  },
};

/** Status is the only witness of a CA that existed: a new one in its place would be trusted by nobody. */
const authorityLost: IssuerCheck = {
  name: 'authorityLost',
  find({ observed: { issuer, secret }, desired: { authority } }) {
    if (authority.kind !== 'managed' || secret !== undefined || generationsOf(issuer).length === 0) return undefined;
    return unready(
      'AuthorityLost',
      `The Secret "${authority.secretName}" with the CA in the operator's namespace is gone, and no other CA could take its place. ` +
        'Restore it from a backup. To start anew with another CA, delete this issuer and create it again.',
    );
  },
};

const authorityToCreate: IssuerCheck = {
  name: 'authorityToCreate',
  find(view) {
    const { issuer, secret } = view.observed;
    const { authority } = view.desired;
    if (authority.kind !== 'managed' || secret !== undefined) return undefined;
    if (isDeleting(issuer))
      return unready('AuthorityMissing', 'The issuer is being deleted, and its CA was never made.');
    return {
      ...unready('AuthorityMissing', 'The CA is being made.'),
      step: { name: 'createAuthority' },
      basis: String(issuer.metadata.generation),
    };
  },
};

const secretNameTaken: IssuerCheck = {
  name: 'secretNameTaken',
  find({ observed: { issuer, secret }, desired: { authority } }) {
    if (authority.kind !== 'managed' || secret === undefined) return undefined;
    if (isManagedFor(secret, issuer.metadata.name)) return undefined;
    return unready(
      'SecretNameTaken',
      `A Secret "${authority.secretName}" that was not made for this issuer is in the operator's namespace. ` +
        'Rename or delete it, or create the issuer under another name.',
    );
  },
};

const secretNotFound: IssuerCheck = {
  name: 'secretNotFound',
  find({ observed: { secret }, desired: { authority } }) {
    if (authority.kind !== 'referenced' || secret !== undefined) return undefined;
    return unready(
      'SecretNotFound',
      `There is no Secret "${authority.secretName}" in the operator's namespace. ` +
        'Create it there, of type kubernetes.io/tls: tls.crt (the CA first, then its chain up to the root) and tls.key.',
    );
  },
};

const secretUsable: IssuerCheck = {
  name: 'secretUsable',
  find({ observed: { secret }, desired: { authority } }) {
    const [problem] = secret?.problems ?? [];
    if (authority.kind === 'self-signed' || problem === undefined) return undefined;
    return unready(problem.reason, `Secret "${authority.secretName}" of the operator's namespace: ${problem.message}`);
  },
};

/**
 * Another CA under the same name would cut off every client that holds a certificate of the old one. A renewed certificate
 * of the same subject and key is another matter: what was signed stays valid.
 */
const authorityReplaced: IssuerCheck = {
  name: 'authorityReplaced',
  find({ observed: { issuer, secret, users }, desired: { authority } }) {
    const found = secret?.authority;
    if (authority.kind === 'self-signed' || found === undefined || users === 0) return undefined;
    if (isSuccessor(found, issuer.status)) return undefined;
    return unready(
      'AuthorityReplaced',
      `Secret "${authority.secretName}" of the operator's namespace holds another CA (SHA-256 ${found.sha256}) than the one whose certificates ` +
        `${users} OAuthClient${users === 1 ? ' has' : 's have'}. Put the former one back. For another CA create a second issuer, grant it in the ` +
        'AuthorizationServer, and move the clients to it.',
    );
  },
};

const authorityNotYetValid: IssuerCheck = {
  name: 'authorityNotYetValid',
  find({ observed: { secret }, now }) {
    const notBefore = secret?.authority?.notBefore ?? now;
    if (now >= notBefore) return undefined;
    return {
      ...unready(
        'CANotYetValid',
        `The CA is valid only from ${new Date(notBefore).toISOString()}: wait, or correct the clock.`,
      ),
      at: notBefore,
    };
  },
};

const authorityExpired: IssuerCheck = {
  name: 'authorityExpired',
  find({ observed: { secret }, desired: { authority }, now }) {
    const notAfter = secret?.authority?.notAfter;
    if (notAfter === undefined || now < notAfter) return undefined;
    return unready('CAExpired', `The CA expired at ${new Date(notAfter).toISOString()}. ${remedyOf(authority.kind)}`);
  },
};

export function remedyOf(kind: Desired['authority']['kind']): string {
  return kind === 'referenced'
    ? 'Renew its certificate with the same subject and key in the Secret, or create a second issuer, grant it in the AuthorizationServer and move the clients to it.'
    : 'Create a second issuer, grant it in the AuthorizationServer and move the clients to it.';
}

export function generationsOf({ status }: Observed['issuer']) {
  return status?.generations ?? [];
}

function isSuccessor(found: Authority, status: Observed['issuer']['status']): boolean {
  const generations = status?.generations ?? [];
  if (generations.length === 0 || generations.some(({ sha256 }) => sha256 === found.sha256)) return true;
  if (!generations.some(({ subject }) => subject === found.subject)) return false;
  return caKeyDigest(status?.caCertificate) === found.keyDigest;
}

function caKeyDigest(caCertificate: string | undefined): string | undefined {
  try {
    const [ca] = certificatesFromPem(caCertificate ?? '');
    return ca === undefined ? undefined : keyDigest(ca.publicKey.export({ type: 'spki', format: 'der' }));
  } catch {
    return undefined;
  }
}

/** Deletion, then protection, then the CA: there, ours, readable, the same as ever, in date. */
export const issuerChecks: readonly IssuerCheck[] = [
  inUse,
  authorityToDelete,
  finalizerToRemove,
  finalizerToAdd,
  authorityLost,
  authorityToCreate,
  secretNameTaken,
  secretNotFound,
  secretUsable,
  authorityReplaced,
  authorityNotYetValid,
  authorityExpired,
];
