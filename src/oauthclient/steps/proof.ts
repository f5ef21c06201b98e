import { verifyIntervalMs } from '../../api/intervals.ts';
import { callAsIntruder, type Intruder, NOT_ENFORCED, notEnforced } from '../../authserver/proof/canary.ts';
import { proveCertificate, type ProofOutcome } from '../../authserver/proof/proof.ts';
import { OperatorError, REFUSED_AGAIN_MS, type Retry } from '../../errors.ts';
import { certificateIn, type CertificateState, type ClientRecord, type RecordState } from '../record.ts';
import type { LoadedRecord } from '../record-store.ts';
import { proofDelay } from '../schedule.ts';
import type { ClientView } from '../step.ts';
import { recordOf, required, serverOf, type ClientAction, type StepContext } from './context.ts';

/** The token endpoint accepts the next certificate; from here on it is the one to publish, and the old one drains. */
export function prove(thumbprint: string): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const { state } = loaded;
    const next = required(
      state.certificates.find((c) => c.x5tS256 === thumbprint),
      'the certificate to prove',
    );
    const outcome = await callTokenEndpoint(context, view, loaded, thumbprint, signal);
    if (outcome.outcome !== 'proved') {
      if (outcome.outcome === 'refused' && hasForgotten(state, view)) await doubtRegistration(context, loaded, signal);
      throw notProved(outcome, view, next, state);
    }
    const intruder = await intruderAt(context, view, loaded, signal);
    // What is published already would only end: to hold its successor up protects nobody.
    if (intruder !== undefined && certificateIn(state, 'Published') === undefined) {
      throw new OperatorError(NOT_ENFORCED, notEnforced(intruder), {
        retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS },
      });
    }
    const now = context.clock.now();
    const longest = Math.max(state.longestTokenLifetimeSeconds ?? 0, outcome.expiresInSeconds ?? 0);
    const certificates = state.certificates.map((c): CertificateState => {
      if (c.x5tS256 === thumbprint) return { ...c, role: 'Published' };
      if (c.role !== 'Published') return c;
      return { ...c, role: 'Draining', replacedAt: new Date(now).toISOString() };
    });
    await context.records.save(
      loaded,
      {
        material: loaded.material,
        state: {
          ...state,
          certificates,
          ...(view.desired.context === undefined ? {} : { context: view.desired.context }),
          ...(longest === 0 ? {} : { longestTokenLifetimeSeconds: longest }),
        },
      },
      signal,
    );
    const { observed } = view;
    const { uid } = serverOf(view).metadata;
    context.reproofs.passed(observed.client.metadata.uid, uid, now, verifyIntervalMs(observed.server));
  };
}

/** By now it must know the key that it confirmed; a standby that took over, or a backup, may not. */
function hasForgotten({ method, registration }: RecordState, { desired, now }: ClientView): boolean {
  if (method === 'tls_client_auth' || desired.keySetUri !== undefined || registration === undefined) return false;
  return now - Date.parse(registration.updatedAt) > desired.propagationMs;
}

/** Then it is written again before anything else is tried. */
async function doubtRegistration(context: StepContext, loaded: LoadedRecord, signal: AbortSignal): Promise<void> {
  const { state } = loaded;
  if (state.registration === undefined) return;
  const registration = { ...state.registration, askedDigest: '' };
  await context.records.save(loaded, { ...loaded, state: { ...state, registration } }, signal);
}

export async function callTokenEndpoint(
  context: StepContext,
  view: ClientView,
  record: ClientRecord,
  thumbprint: string,
  signal: AbortSignal,
): Promise<ProofOutcome> {
  const material = required(record.material.certificates[thumbprint], 'the key to prove');
  const registration = required(record.state.registration, 'a registration');
  return proveCertificate(
    {
      connection: context.connection(serverOf(view)),
      clientId: registration.clientId,
      chainPem: material.chainPem,
      privateKeyPem: material.privateKeyPem,
      x5tS256: thumbprint,
      grantTypes: view.desired.grantTypes,
      redirectUri: view.desired.redirectURIs[0],
      scope: view.desired.scope,
      boundTokens: view.desired.boundTokens,
    },
    signal,
  );
}

/** Whom the server lets in besides: looked into now and then, with whichever client is just being proved. */
function intruderAt(
  context: StepContext,
  { observed, desired }: ClientView,
  record: ClientRecord,
  signal: AbortSignal,
): Promise<Intruder | undefined> {
  const server = required(observed.server, 'a server');
  const { clientId } = required(record.state.registration, 'a registration');
  const { identity, grantTypes, redirectURIs, scope } = desired;
  const now = context.clock.now();
  return context.enforcement.check(server, { now, intervalMs: verifyIntervalMs(server) }, async () => {
    if (!identity.ok) return 'unknown';
    const { subject } = identity;
    const connection = context.connection(server);
    return callAsIntruder(
      { connection, clientId, grantTypes, redirectUri: redirectURIs[0], scope, subject, now },
      signal,
    );
  });
}

function notProved(
  outcome: Exclude<ProofOutcome, { outcome: 'proved' }>,
  view: ClientView,
  next: CertificateState,
  state: RecordState,
): OperatorError {
  if (outcome.outcome === 'unreachable') {
    return new OperatorError(
      'AuthorizationServerUnreachable',
      `The token endpoint can't be reached: ${outcome.message} The certificate is published as soon as it can.`,
      outcome.retryAfterMs === undefined ? {} : { retry: { class: 'after', milliseconds: outcome.retryAfterMs } },
    );
  }
  const current = certificateIn(state, 'Published');
  const { distribution } = view.observed;
  // However long it waited for the terminators: what they were told last takes its time from then.
  const since = Math.max(
    Date.parse(next.stagedAt),
    Date.parse(state.registration?.updatedAt ?? next.stagedAt),
    distribution.state === 'distributed' ? (distribution.since ?? 0) : 0,
  );
  const milliseconds = proofDelay({
    since,
    now: view.now,
    propagationMs: view.desired.propagationMs,
    notAfter: Date.parse(next.notAfter),
    replaces: current === undefined ? undefined : Date.parse(current.notAfter),
  });
  const retry: Retry = { class: 'after', milliseconds };
  const kept = current === undefined ? 'Nothing is published' : 'The old certificate stays published';
  return outcome.outcome === 'refused'
    ? new OperatorError(
        'CertificateRefused',
        `The authorization server refused the next certificate: ${outcome.message} ${kept}; the operator tries again. ` +
          'See that the server trusts the issuer’s CA and that nothing in front of it drops the certificate.',
        { retry },
      )
    : new OperatorError(
        'NotAcceptedYet',
        `The next certificate is not accepted yet: ${outcome.message} ${kept}; the operator tries again. ` +
          'If it lasts, see that the TLS terminator in front of the token endpoint asks for client certificates and trusts the issuer’s CA.',
        { retry },
      );
}

/** P9: Ready means not disproved since. Unreachable changes nothing; what two refusals mean is looked into by its own step. */
export function provePublished(thumbprint: string): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const outcome = await callTokenEndpoint(context, view, loaded, thumbprint, signal);
    const { uid } = view.observed.client.metadata;
    const now = context.clock.now();
    if (outcome.outcome === 'proved') {
      await intruderAt(context, view, loaded, signal);
      context.reproofs.passed(uid, serverOf(view).metadata.uid, now, verifyIntervalMs(view.observed.server));
    } else if (outcome.outcome === 'refused')
      context.reproofs.refused(uid, now, verifyIntervalMs(view.observed.server), outcome.message);
    else context.reproofs.postponed(uid, now);
  };
}
