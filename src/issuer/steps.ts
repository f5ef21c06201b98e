import { IN_USE_FINALIZER, OWNER, OWNER_UID, Role, ROLE_LABEL } from '../api/annotations.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { clientCertificateIssuers } from '../api/resources.ts';
import { OperatorError } from '../errors.ts';
import { type KubeClient, KubeError } from '../kube/client.ts';
import { type EventRecorder, referenceTo } from '../kube/event-recorder.ts';
import { addFinalizer, removeFinalizer } from '../kube/finalizers.ts';
import type { Informer } from '../kube/informer.ts';
import { secrets } from '../kube/resource.ts';
import type { Clock } from '../runtime/clock.ts';
import { createCa } from '../x509/certificate.ts';
import { parseDn } from '../x509/dn.ts';
import { type CaProjection, isManagedFor } from './certificate-authority-secret.ts';
import type { IssuerStep, IssuerView } from './step.ts';

export interface StepOptions {
  client: Pick<KubeClient, 'get' | 'create' | 'patch' | 'delete'>;
  issuers: Pick<Informer<ClientCertificateIssuer>, 'resource' | 'remember'>;
  authoritySecrets: Pick<Informer<CaProjection>, 'remember' | 'forget'>;
  recorder: Pick<EventRecorder, 'record'>;
  clock: Pick<Clock, 'now'>;
  operatorNamespace: string;
}

/** All I/O of the kind but reading and the status. Each step may be repeated. */
export async function runStep(options: StepOptions, step: IssuerStep, view: IssuerView, signal: AbortSignal) {
  const { client, issuers: cache } = options;
  const { metadata } = view.observed.issuer;
  switch (step.name) {
    case 'addFinalizer':
      return addFinalizer({ client, cache }, metadata, IN_USE_FINALIZER, signal);
    case 'removeFinalizer':
      return removeFinalizer({ client, cache }, metadata, IN_USE_FINALIZER, signal);
    case 'createAuthority':
      return createAuthority(options, view, signal);
    case 'deleteAuthority':
      return deleteAuthority(options, view, signal);
  }
}

/** By POST, so that of two leaders one makes the CA, and a CA that is there already is never made anew. */
async function createAuthority(options: StepOptions, view: IssuerView, signal: AbortSignal): Promise<void> {
  const { client, authoritySecrets, operatorNamespace: namespace, clock } = options;
  const { issuer } = view.observed;
  const { authority } = view.desired;
  if (authority.kind !== 'managed') throw new TypeError('Bug: only a managed CA is made.');
  const { certificatePem, privateKeyPem } = await createCa({
    dn: parseDn(authority.dn),
    duration: authority.durationMs,
    now: new Date(clock.now()),
    ...authority.key,
  });
  const name = authority.secretName;
  try {
    const created = await client.create(
      secrets,
      {
        metadata: {
          name,
          namespace,
          labels: { [ROLE_LABEL]: Role.certificateAuthority },
          // No ownerReference: garbage collection must never delete a CA.
          annotations: { [OWNER]: issuer.metadata.name, [OWNER_UID]: issuer.metadata.uid },
        },
        type: 'kubernetes.io/tls',
        data: {
          'tls.crt': Buffer.from(certificatePem).toString('base64'),
          'tls.key': Buffer.from(privateKeyPem).toString('base64'),
        },
      },
      { signal },
    );
    authoritySecrets.remember(created);
    say(options, issuer, 'AuthorityCreated', `Made the CA ${authority.dn} in Secret "${name}": back it up.`);
  } catch (error) {
    if (!(error instanceof KubeError) || error.reason !== 'AlreadyExists') throw error;
    await adopt(options, name, signal);
  }
}

/** What is there is used as it is, if it is ours; the next look at it says whether it is. */
async function adopt(options: StepOptions, name: string, signal: AbortSignal): Promise<void> {
  const { client, authoritySecrets, operatorNamespace: namespace } = options;
  const present = await client.get(secrets, { namespace, name }, { signal });
  if (present === undefined) {
    throw new OperatorError(
      'SecretNameTaken',
      `Secret "${name}" in the operator's namespace is just being deleted; the CA is made once it is gone.`,
    );
  }
  authoritySecrets.remember(present);
}

/** Only what was looked at and found ours, in that very version. */
async function deleteAuthority(options: StepOptions, view: IssuerView, signal: AbortSignal): Promise<void> {
  const { client, authoritySecrets, operatorNamespace: namespace } = options;
  const { issuer, secret } = view.observed;
  if (secret === undefined || !isManagedFor(secret, issuer.metadata.name)) {
    throw new TypeError('Bug: only a CA of our own is deleted.');
  }
  const { name, uid, resourceVersion } = secret;
  await client.delete(secrets, { namespace, name }, { uid, resourceVersion }, { signal });
  authoritySecrets.forget({ namespace, name }, uid);
  say(options, issuer, 'AuthorityDeleted', `Deleted the CA in Secret "${name}": no OAuthClient uses the issuer.`);
}

function say({ recorder }: StepOptions, { metadata }: ClientCertificateIssuer, reason: string, note: string): void {
  const { name, uid, resourceVersion } = metadata;
  const regarding = referenceTo(clientCertificateIssuers, { name, uid, resourceVersion });
  recorder.record({ regarding, type: 'Normal', reason, action: 'Reconcile', note });
}
