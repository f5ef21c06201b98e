import { pausedContest, unwritableOpaque } from '../../runtime/contest.ts';
import { isUnused } from '../../runtime/in-use.ts';
import type { Check } from '../../runtime/pass.ts';
import { Condition, type ServerFinding, type ServerStep, type ServerView } from '../step.ts';
import { holds, type PublishedTrust, shownRef, trustContent, type TrustRef, trustRef } from './published.ts';

type ServerCheck = Check<ServerView, ServerStep>;

const unusedServer = ({ observed: { server, clients } }: ServerView): boolean =>
  isUnused({ metadata: server.metadata, users: clients });

function refOf(view: ServerView): TrustRef | undefined {
  return unusedServer(view) ? undefined : trustRef(view.observed.server);
}

function blocked(reason: string, message: string, more: Partial<ServerFinding> = {}): ServerFinding {
  return { condition: Condition.trustBundle, status: 'False', reason, message, ...more };
}

/** What keeps it from being written; then it stays as it is. */
function problemOf(ref: TrustRef, { observed, now }: ServerView): ServerFinding | undefined {
  const { server, trustBundle } = observed;
  const { trust, current, place, rewritten } = trustBundle;
  const shown = shownRef(ref);
  if (place === 'not served') {
    const message =
      `This installation has no rights in namespace ${ref.namespace}: list it in scope.namespaces of the chart, or publish to one that is listed. ` +
      `What was published there before stays as it is: kubectl --namespace ${ref.namespace} delete secret ${ref.name}`;
    return blocked('NamespaceNotServed', message);
  }
  if (place === 'missing') {
    return blocked('NamespaceMissing', `There is no namespace ${ref.namespace}: create it, or name another.`);
  }
  if (trust.error !== undefined) {
    return blocked(trust.error.code, `${trust.error.message} ${shown} stays as it is.`);
  }
  if (trust.bundle === undefined && trust.pending.length > 0) {
    const message = `${shown} waits for the CA of ${trust.pending.join(', ')}; until then it stays as it is.`;
    return blocked('IssuerNotReady', message, { status: 'Unknown' });
  }
  const unwritable = current && unwritableOpaque(shown, current);
  if (unwritable !== undefined) return blocked('TrustBundleNameTaken', unwritable);
  if (holds(current, server.metadata.name, trust.bundle?.pem)) return undefined;
  const content = trustContent(server.metadata.name, trust.bundle?.pem);
  const paused = pausedContest({ object: shown, content, rewritten, lastWriter: current?.lastWriter }, now);
  return paused && blocked('TrustBundleReverted', paused.message, { at: paused.at });
}

const trustBlocked: ServerCheck = {
  name: 'trustBlocked',
  find(view) {
    const ref = refOf(view);
    return ref && problemOf(ref, view);
  },
};

const trustToPublish: ServerCheck = {
  name: 'trustToPublish',
  find(view) {
    const ref = refOf(view);
    if (ref === undefined || problemOf(ref, view) !== undefined) return undefined;
    const { server, trustBundle } = view.observed;
    const { trust, current } = trustBundle;
    const pem = trust.bundle?.pem;
    if (holds(current, server.metadata.name, pem)) return undefined;
    return {
      condition: Condition.trustBundle,
      status: 'Unknown',
      reason: 'TrustBundlePending',
      message: `${shownRef(ref)} is being written.`,
      step: { name: 'publishTrust', ref, pem, current },
      basis: `${ref.namespace} ${current?.resourceVersion ?? ''} ${pem ?? ''}`,
      // The server's clients are registered all the same.
      deferrable: true,
    };
  },
};

const trustToWithdraw: ServerCheck = {
  name: 'trustToWithdraw',
  find(view) {
    const ref = refOf(view);
    const { server, trustBundle } = view.observed;
    const { trust, current, published } = trustBundle;
    // Where it was before it goes only once it is where it is to be.
    if (ref !== undefined && !holds(current, server.metadata.name, trust.bundle?.pem)) return undefined;
    const isWanted = ({ namespace, name }: PublishedTrust) => namespace === ref?.namespace && name === ref.name;
    const [object] = published.filter((each) => !each.deleting && !isWanted(each));
    if (object === undefined) return undefined;
    const deleting = unusedServer(view);
    return {
      condition: deleting ? Condition.deletable : Condition.trustBundle,
      status: 'Unknown',
      reason: 'TrustBundleUnused',
      message: `${shownRef(object)} is published no more and is being deleted.`,
      step: { name: 'withdrawTrust', object },
      basis: `${object.uid} ${object.resourceVersion}`,
      deferrable: !deleting,
    };
  },
};

/** It is written under the server's protection, and is gone before that is. */
export const trustChecks = { trustBlocked, trustToPublish, trustToWithdraw };

/** Codes of errors that only somebody's action ends. */
const definite = new Set(['TrustBundleNameTaken', 'KubernetesForbidden', 'KubernetesNotFound', 'KubernetesInvalid']);

/** Undefined where there is nothing to tell. */
export function trustVerdict({ observed }: ServerView, findings: readonly ServerFinding[]) {
  const type = Condition.trustBundle;
  const finding = findings.find(({ condition }) => condition === type);
  if (finding !== undefined) {
    const { status, reason, message, error } = finding;
    return {
      type,
      status: error !== undefined && definite.has(error.code) ? ('False' as const) : status,
      reason,
      message,
    };
  }
  const ref = trustRef(observed.server);
  if (ref === undefined) return undefined;
  const { trust } = observed.trustBundle;
  const count = trust.bundle?.hashes.length ?? 0;
  const held =
    count === 0
      ? 'no CA that clients have certificates of: no granted issuer has one, so that nobody is trusted'
      : `the ${count === 1 ? 'CA' : `${count} CA certificates`} of the granted issuers`;
  const waits = trust.pending.length === 0 ? '' : ` It waits for the CA of ${trust.pending.join(', ')}.`;
  return {
    type,
    status: 'True' as const,
    reason: 'Published',
    message: `${shownRef(ref)} holds, in ca.crt, ${held}.${waits}`,
  };
}
