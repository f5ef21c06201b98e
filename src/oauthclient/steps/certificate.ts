import { createHash, randomBytes, randomUUID, type X509Certificate } from 'node:crypto';
import type { Identity } from '../../authserver/identity.ts';
import { asOperatorError } from '../../errors.ts';
import { certificateFields } from '../../x509/certificate-fields.ts';
import { dnFromDer } from '../../x509/dn-name.ts';
import { formatDn } from '../../x509/dn.ts';
import { certificateJwk } from '../../x509/certificate-jwk.ts';
import { generateKeyPair } from '../../x509/key.ts';
import { certificatesFromPem } from '../../x509/pem.ts';
import { formatSubject } from '../../x509/subject-name.ts';
import { x5tS256 } from '../../x509/thumbprint.ts';
import { wholeSeconds } from '../../api/time.ts';
import { RENEW_REQUESTED } from '../../api/annotations.ts';
import { type CertificateState, type ClientRecord, type Intent, type RecordState } from '../record.ts';
import { certificateValues, digests } from '../published-secret.ts';
import type { ClientView } from '../step.ts';
import { recordOf, required, serverIn, tell, type ClientAction, type StepContext } from './context.ts';

interface Staged {
  certificate: CertificateState;
  material: ClientRecord['material']['certificates'][string];
}

/** A new key and certificate, stored and nowhere used; in the same write the intent to make the server accept it. */
export function stageCertificate(reason: string): ClientAction {
  return async (context, view, signal) => {
    const { certificate, material } = await issue(context, view, reason, signal);
    const projection = view.observed.record;
    const before = projection === undefined ? undefined : await context.records.load(projection, signal);
    const base =
      before === undefined ? newState(context, view, identityIn(view)) : { ...before.state, server: serverIn(view) };
    const intent = intentAfterStaging(base, view);
    const record: ClientRecord = {
      state: {
        ...base,
        certificates: [...base.certificates, certificate],
        ...(intent === undefined ? {} : { intent }),
        ...handledIn(view),
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

/** A certificate that is new answers every request for one. */
export function handledIn({ observed: { client } }: ClientView): Pick<RecordState, 'lastHandledRenew'> {
  const handled = client.metadata.annotations[RENEW_REQUESTED];
  return handled === undefined ? {} : { lastHandledRenew: handled };
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

export function identityIn({ desired: { identity } }: ClientView): Identity {
  if (!identity.ok) throw new TypeError('a step ran without an identity');
  return identity;
}

export function newState(
  context: StepContext,
  view: ClientView,
  { parameter, value, canonical }: RecordState['identity'],
  server = serverIn(view),
): RecordState {
  const { observed, desired } = view;
  const { namespace, name, uid } = observed.client.metadata;
  return {
    version: 1,
    clusterId: context.clusterId,
    owner: { namespace, name, uid },
    server,
    method: desired.method,
    identity: { parameter, value, canonical },
    certificates: [],
    keySetId: newKeySetId(),
    suspectedOrphans: [],
  };
}

export async function issue(
  context: StepContext,
  view: ClientView,
  reason: string,
  signal: AbortSignal,
): Promise<Staged> {
  const { desired, observed, now } = view;
  const issuer = required(observed.issuer, 'an issuer');
  const { subject } = identityIn(view);
  const { algorithm, size, durationMs: life } = desired.certificate;
  const { privateKeyPem } = await generateKeyPair({ algorithm, size });
  const issued = await context
    .issuerDriver(issuer)
    .sign(issuer, { subject, privateKeyPem, durationMs: life, now }, signal);
  const leaf = required(certificatesFromPem(issued.chainPem)[0], 'a leaf');
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
      ...(desired.method === 'tls_client_auth' ? authorityIn(issued.caPem) : {}),
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

type Root = Pick<CertificateState, 'caSha256' | 'caSubject'>;

/** There are as many as issuers, and to read one costs more than to sign. */
const roots = new Map<string, Root>();
const mostRoots = 64;

function authorityIn(caPem: string): Root {
  const known = roots.get(caPem);
  if (known !== undefined) return known;
  const root = authorityOf(required(certificatesFromPem(caPem).at(-1), 'a root'));
  if (roots.size >= mostRoots) roots.clear();
  roots.set(caPem, root);
  return root;
}

function authorityOf(root: X509Certificate): Root {
  const caSha256 = createHash('sha256').update(root.raw).digest('hex');
  try {
    return { caSha256, caSubject: formatDn(dnFromDer(certificateFields(root.raw).subject)) };
  } catch (error) {
    // A root that somebody brought may have a name that is no text: then no server is told of it.
    if (asOperatorError(error).code === 'InvalidDistinguishedName') return { caSha256 };
    throw error;
  }
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
