import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { OperatorError } from '../errors.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { secrets } from '../kube/resource.ts';
import { signLeaf } from '../x509/certificate.ts';
import { publicKeyDerOf } from '../x509/key.ts';
import { certificationAuthorities, checkLeaf, type CertificationAuthority } from '../x509/profile.ts';
import { loadSigner, type Signer } from '../x509/signer.ts';
import type { Authority } from './authority.ts';
import {
  authoritySecretName,
  caContent,
  type CaProjection,
  isManagedFor,
  readCaSecret,
} from './certificate-authority-secret.ts';
import { maxDurationMs } from './grants.ts';
import type { Issued, IssuerDriver, SigningRequest } from './issuer.ts';

export interface CaIssuerOptions {
  client: Pick<KubeClient, 'get'>;
  /** Secrets of the operator's namespace. */
  authoritySecrets: Pick<Informer<CaProjection>, 'get' | 'onChange'>;
  operatorNamespace: string;
}

interface LoadedAuthority {
  uid: string;
  resourceVersion: string;
  authority: Authority;
  chain: readonly CertificationAuthority[];
  signer: Signer;
}

/**
 * Signs with the CA of a Secret (`tls_client_auth`, RFC 8705 §2.1). The imported key is kept, not extractable, for as long as
 * the Secret is the same object in the same version; its bytes are read live and let go.
 */
export class CaIssuer implements IssuerDriver {
  readonly #options: CaIssuerOptions;
  readonly #loaded = new Map<string, LoadedAuthority>();

  constructor(options: CaIssuerOptions) {
    this.#options = options;
    options.authoritySecrets.onChange(({ type, name }) => {
      if (type === 'deleted') this.#loaded.delete(name);
    });
  }

  async sign(issuer: ClientCertificateIssuer, request: SigningRequest, signal: AbortSignal): Promise<Issued> {
    signal.throwIfAborted();
    const { authority, chain, signer } = await this.#load(issuer, signal);
    requireCurrent(issuer, authority, request.now);
    const publicKeyDer = publicKeyDerOf(request.privateKeyPem);
    const now = new Date(request.now);
    const duration = Math.min(request.durationMs, maxDurationMs(issuer));
    // A subject alternative name gets no CN beside it: that would be a second identity, at a server that matches on DNs.
    const leafPem = await signLeaf({ subject: request.subject, publicKeyDer, duration, now }, signer);
    const chainPem = leafPem + authority.presentedPem;
    const expected = { subject: request.subject, publicKeyDer, authorities: chain };
    const [violation] = checkLeaf(chainPem, expected, now);
    if (violation !== undefined) throw new OperatorError(violation.reason, violation.message);
    signal.throwIfAborted();
    return { chainPem, caPem: authority.chainPem };
  }

  async #load(issuer: ClientCertificateIssuer, signal: AbortSignal): Promise<LoadedAuthority> {
    const name = authoritySecretName(issuer);
    if (name === undefined) throw new TypeError(`Bug: issuer ${issuer.metadata.name} has no CA.`);
    const { client, authoritySecrets, operatorNamespace: namespace } = this.#options;
    const cached = authoritySecrets.get(namespace, name);
    const held = this.#loaded.get(name);
    if (
      held !== undefined &&
      held.uid === cached?.uid &&
      held.resourceVersion === cached.resourceVersion &&
      mayUse(cached, issuer)
    ) {
      return held;
    }
    this.#loaded.delete(name);
    const object = await client.get(secrets, { namespace, name }, { signal });
    if (object === undefined) throw unusable(issuer, 'SecretNotFound', `Secret ${name} does not exist`);
    const read = readCaSecret(object);
    if (!mayUse(read, issuer)) throw unusable(issuer, 'SecretNameTaken', `Secret ${name} was not made for it`);
    const [problem] = read.problems;
    if (problem !== undefined || read.authority === undefined) {
      throw unusable(issuer, problem?.reason ?? 'InvalidPEM', `Secret ${name}: ${problem?.message}`);
    }
    const { certificatePem, privateKeyPem } = caContent(object);
    // Bounded by the whole chain: a leaf that outlives an intermediate or the root is refused by every verifier.
    const signer = {
      ...loadSigner(certificatePem, privateKeyPem),
      notBefore: new Date(read.authority.notBefore),
      notAfter: new Date(read.authority.notAfter),
    };
    const { uid, resourceVersion, authority } = read;
    const chain = certificationAuthorities(authority.chainPem);
    const loaded = { uid, resourceVersion, authority, chain, signer };
    this.#loaded.set(name, loaded);
    return loaded;
  }
}

/** A managed CA is signed with only where its Secret is the issuer's own. */
function mayUse(secret: CaProjection, { metadata, spec }: ClientCertificateIssuer): boolean {
  return spec.ca?.secretRef !== undefined || isManagedFor(secret, metadata.name);
}

/** Nothing is signed by a CA that is out of date, or that the issuer's status does not show: terminators trust those alone. */
function requireCurrent(issuer: ClientCertificateIssuer, authority: Authority, now: number): void {
  const generations = issuer.status?.generations ?? [];
  if (generations.length > 0 && !generations.some(({ sha256 }) => sha256 === authority.sha256)) {
    throw unusable(issuer, 'AuthorityReplaced', `${authority.sha256} is not in its status`);
  }
  if (now >= authority.notAfter) {
    throw unusable(issuer, 'CAExpired', `its CA expired at ${new Date(authority.notAfter).toISOString()}`);
  }
}

/** The message is for tenants, who have no business with Secrets of the operator's namespace. */
function unusable({ metadata }: ClientCertificateIssuer, code: string, detail: string): OperatorError {
  const message = `ClientCertificateIssuer "${metadata.name}" can't sign now: its status says to the platform team what to do.`;
  return new OperatorError(code, message, { detail });
}
