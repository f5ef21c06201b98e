import { releaseClaim } from '../../authserver/claims.ts';
import { identityOfGeneration } from '../desired.ts';
import { claimedStill, type RecordState } from '../record.ts';
import type { ClientView } from '../step.ts';
import { recordOf, required, tell, type ClientAction, type StepContext } from './context.ts';

/**
 * From here on its JWK is not asked for any more. A subject alternative name stays registered (RFC 8705 §2.1.2 takes one, and
 * it can't be another): who has the key is accepted until the certificate ends.
 */
export function recordCompromise(thumbprint: string): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const { state } = loaded;
    const reported = required(
      state.certificates.find((c) => c.x5tS256 === thumbprint),
      'the compromised certificate',
    );
    const certificates = state.certificates.map((c) => (c === reported ? { ...c, compromised: true } : c));
    const bySubject = state.method === 'tls_client_auth';
    const exposed = bySubject ? { compromisedUntil: latest(state.compromisedUntil, reported.notAfter) } : {};
    await context.records.save(loaded, { ...loaded, state: { ...state, certificates, ...exposed } }, signal);
    const then = bySubject
      ? `The server accepts whoever has its key until ${reported.notAfter}.`
      : 'Its key is being removed at the server.';
    tell(context, view, 'Warning', 'Compromised', `Certificate ${thumbprint} was reported compromised. ${then}`);
  };
}

function latest(one: string | undefined, other: string): string {
  return one !== undefined && Date.parse(one) > Date.parse(other) ? one : other;
}

/**
 * Every certificate names the subject that is registered, so with one of them all go. The identity of before stays claimed
 * until the last of them ends: nobody else may have it while one of them is valid.
 */
export const renewIdentity: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const { state } = loaded;
  const end = Math.max(...state.certificates.map((c) => Date.parse(c.notAfter)));
  const successor = await succeedIdentity(context, view, state, { until: end, compromised: true }, signal);
  const certificates = state.certificates.map((c) => ({ ...c, compromised: true }));
  await context.records.save(loaded, { ...loaded, state: { ...state, ...successor, certificates } }, signal);
  const note =
    `A certificate was reported compromised. The client becomes ${successor.identity.value} at the server, which then refuses every ` +
    'certificate of before.';
  tell(context, view, 'Warning', 'Compromised', note);
};

/** The next generation; the identity of before is let go as `released` says. */
export async function succeedIdentity(
  context: StepContext,
  view: ClientView,
  state: RecordState,
  released: { until: number; compromised: boolean },
  signal: AbortSignal,
): Promise<Pick<RecordState, 'identity'> & Partial<RecordState>> {
  const { observed } = view;
  const generation = (state.identityGeneration ?? 0) + 1;
  const identity = identityOfGeneration(observed, generation);
  if (!identity.ok) throw new TypeError('a step ran without an identity');
  const { namespace, name, uid } = observed.client.metadata;
  const { operatorNamespace } = context;
  const claim = {
    operatorNamespace,
    issuer: state.server.issuer,
    identity: state.identity,
    holder: { namespace, name, uid },
  };
  // First: a claim that nobody knows of any more would be held for good.
  const claimed = await releaseClaim(context.kube, claim, released, signal);
  if (claimed !== undefined) context.claims.remember(claimed);
  const { parameter, value, canonical } = identity;
  return {
    identity: { parameter, value, canonical },
    identityGeneration: generation,
    firstIdentity: state.firstIdentity ?? state.identity,
    formerIdentities: [...claimedStill(state, view.now), new Date(released.until).toISOString()],
  };
}
