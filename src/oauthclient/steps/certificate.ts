import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { callAsIntruder, type Intruder, NOT_ENFORCED, notEnforced } from '../../authserver/canary.ts';
import { proveCertificate, type ProofOutcome } from '../../authserver/proof.ts';
import { OperatorError, type Retry } from '../../errors.ts';
import { certificateJwk } from '../../x509/certificate-jwk.ts';
import { generateKeyPair } from '../../x509/key.ts';
import { certificatesFromPem } from '../../x509/pem.ts';
import { formatSubject } from '../../x509/subject-name.ts';
import { x5tS256 } from '../../x509/thumbprint.ts';
import { wholeSeconds } from '../../api/time.ts';
import { RENEW_REQUESTED } from '../../api/annotations.ts';
import { verifyIntervalMs } from '../desired.ts';
import { certificateIn, type CertificateState, type ClientRecord, type Intent, type RecordState } from '../record.ts';
import { certificateValues, digests } from '../published-secret.ts';
import type { LoadedRecord } from '../record-store.ts';
import { proofDelay } from '../schedule.ts';
import type { ClientView } from '../step.ts';
import { recordOf, required, serverOf, tell, type ClientAction, type StepContext } from './context.ts';

interface Staged {
  certificate: CertificateState;
  material: ClientRecord['material']['certificates'][string];
}

/** A new key and certificate, stored and nowhere used; in the same write the intent to make the server accept it. */
export function stageCertificate(reason: string): ClientAction {
  return async (context, view, signal) => {
    const { certificate, material } = await issue(context, view, reason, signal);
    const handled = view.observed.client.metadata.annotations[RENEW_REQUESTED];
    const projection = view.observed.record;
    const before = projection === undefined ? undefined : await context.records.load(projection, signal);
    const base = before?.state ?? newState(context, view);
    const intent = intentAfterStaging(base, view);
    const record: ClientRecord = {
      state: {
        ...base,
        certificates: [...base.certificates, certificate],
        ...(intent === undefined ? {} : { intent }),
        ...(handled === undefined ? {} : { lastHandledRenew: handled }),
      },
      material: {
        ...before?.material,
        certificates: { ...before?.material.certificates, [certificate.x5tS256]: material },
      },
    };
    if (intent !== undefined && intent !== base.intent) context.unsentIntents.add(intent.id);
    if (before === undefined) await context.records.create(record, signal);
    else await context.records.save(before, record, signal);
    tell(
      context,
      view,
      reason === 'Compromised' ? 'Warning' : 'Normal',
      'CertificateIssued',
      `Certificate ${certificate.x5tS256} was issued (${reason}); it is published once the server accepts it.`,
    );
  };
}

/** The first certificate is registered with the client; a self-signed one has to join the registered keys. */
function intentAfterStaging(state: RecordState, { desired: { keySetUri }, now }: ClientView): Intent | undefined {
  if (state.intent !== undefined) return state.intent;
  if (state.registration === undefined) return newIntent('create', now);
  const registered = state.method === 'self_signed_tls_client_auth' && keySetUri === undefined;
  return registered ? newIntent('update', now) : undefined;
}

export function newIntent(operation: Intent['operation'], now: number): Intent {
  return { id: randomUUID(), operation, since: new Date(now).toISOString() };
}

export const newKeySetId = () => randomBytes(8).toString('hex');

function newState(context: StepContext, { observed, desired }: ClientView): RecordState {
  const server = required(observed.server, 'a server');
  if (!desired.identity.ok) throw new TypeError('a step ran without an identity');
  const { namespace, name, uid } = observed.client.metadata;
  const { parameter, value, canonical } = desired.identity;
  return {
    version: 1,
    clusterId: context.clusterId,
    owner: { namespace, name, uid },
    server: { name: server.metadata.name, issuer: server.spec.issuer },
    method: desired.method,
    identity: { parameter, value, canonical },
    certificates: [],
    keySetId: newKeySetId(),
    suspectedOrphans: [],
  };
}

async function issue(context: StepContext, view: ClientView, reason: string, signal: AbortSignal): Promise<Staged> {
  const { desired, observed, now } = view;
  const issuer = required(observed.issuer, 'an issuer');
  if (!desired.identity.ok) throw new TypeError('a step ran without an identity');
  const { algorithm, size, durationMs: life } = desired.certificate;
  const { privateKeyPem } = await generateKeyPair({ algorithm, size });
  const subject = desired.identity.subject;
  const issued = await context
    .issuerDriver(issuer)
    .sign(issuer, { subject, privateKeyPem, durationMs: life, now }, signal);
  const leaf = required(certificatesFromPem(issued.chainPem)[0], 'a leaf');
  const root = desired.method === 'tls_client_auth' ? certificatesFromPem(issued.caPem).at(-1) : undefined;
  const thumbprint = x5tS256(leaf);
  const values = certificateValues({
    privateKeyPem,
    chainPem: issued.chainPem,
    clientCaPem: issued.caPem,
    x5tS256: thumbprint,
  });
  return {
    certificate: {
      x5tS256: thumbprint,
      role: 'Next',
      reason,
      issuer: issuer.metadata.name,
      ...(root === undefined ? {} : { caSha256: createHash('sha256').update(root.raw).digest('hex') }),
      serialNumber: leaf.serialNumber.toLowerCase(),
      subject: formatSubject(subject),
      notBefore: wholeSeconds(leaf.validFromDate.getTime()),
      notAfter: wholeSeconds(leaf.validToDate.getTime()),
      stagedAt: new Date(now).toISOString(),
      requested: { durationMs: life, algorithm, size },
      digests: digests(values),
      ...(desired.method === 'self_signed_tls_client_auth' ? { jwk: await certificateJwk(issued.chainPem) } : {}),
    },
    material: { privateKeyPem, chainPem: issued.chainPem, caPem: issued.caPem },
  };
}

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
      throw new OperatorError(NOT_ENFORCED, notEnforced(intruder), { retry: { class: 'after', milliseconds: 60_000 } });
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

/**
 * P9: Ready means not disproved since. Unreachable changes nothing. A server that was restored from a backup refuses a key that
 * it has forgotten: at the second refusal in a row the registration counts as unknown, so that it is written again, once. A
 * constant subject is in every backup that has the client.
 */
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

/** The drain is over: the key is destroyed. The registration has ceased to name it before. */
export function retire(thumbprint: string): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const { [thumbprint]: _destroyed, ...certificates } = loaded.material.certificates;
    await context.records.save(
      loaded,
      {
        state: { ...loaded.state, certificates: loaded.state.certificates.filter((c) => c.x5tS256 !== thumbprint) },
        material: { ...loaded.material, certificates },
      },
      signal,
    );
  };
}
