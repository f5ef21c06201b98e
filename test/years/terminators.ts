/** Three replicas of a TLS terminator, each of which takes its own time to load what the Ingress and its bundle say. */
import type { X509Certificate } from 'node:crypto';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { certificatesFromPem } from '../../src/x509/pem.ts';

/** What one replica does with a client certificate. */
interface Configuration {
  /** `on`, `optional_no_ca`; undefined: nobody is asked for a certificate. */
  verifyClient: string | undefined;
  depth: number;
  bundlePem: string;
}

const prefix = 'nginx.ingress.kubernetes.io/auth-tls-';

function configurationOf(ingress: KubernetesObject, bundle: KubernetesObject | undefined): Configuration {
  const annotations = ingress.metadata.annotations ?? {};
  const pem: unknown = Object(bundle?.['data'])['ca.crt'];
  const bundlePem = typeof pem === 'string' ? Buffer.from(pem, 'base64').toString() : '';
  return {
    // Without its bundle ingress-nginx serves the host to nobody, which is to accept no client either.
    verifyClient: bundlePem === '' ? undefined : annotations[`${prefix}verify-client`],
    depth: Number(annotations[`${prefix}verify-depth`] ?? 1),
    bundlePem,
  };
}

export class Replica {
  /** Milliseconds from a change to its reload. */
  readonly delayMs: number;
  #configuration: Configuration = { verifyClient: undefined, depth: 1, bundlePem: '' };

  constructor(delayMs: number) {
    this.delayMs = delayMs;
  }

  load(ingress: KubernetesObject, bundle: KubernetesObject | undefined): void {
    this.#configuration = configurationOf(ingress, bundle);
  }

  /** Whether the certificate gets to the server behind it. */
  passes(chain: readonly X509Certificate[], now: number): boolean {
    const { verifyClient, depth, bundlePem } = this.#configuration;
    if (verifyClient === undefined) return false;
    if (verifyClient === 'optional_no_ca') return true;
    return verifies(chain, anchorsOf(bundlePem), depth, now);
  }
}

const anchors = new Map<string, readonly X509Certificate[]>();

function anchorsOf(pem: string): readonly X509Certificate[] {
  const known = anchors.get(pem) ?? certificatesFromPem(pem);
  anchors.set(pem, known);
  return known;
}

const isValid = ({ validFromDate, validToDate }: X509Certificate, now: number) =>
  validFromDate.getTime() <= now && now < validToDate.getTime();

/** RFC 5280 §6 as far as it matters here: signatures, names, CA, dates, and the depth that nginx counts from the leaf. */
function verifies(
  chain: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  depth: number,
  now: number,
): boolean {
  const [leaf] = chain;
  if (leaf === undefined || leaf.ca || !isValid(leaf, now)) return false;
  let current = leaf;
  for (let above = 0; above < depth; above++) {
    const child = current;
    const issuer = [...chain.slice(1), ...trusted].find((one) => one.ca && isValid(one, now) && signed(one, child));
    if (issuer === undefined) return false;
    if (trusted.some(({ raw }) => raw.equals(issuer.raw)) && signed(issuer, issuer)) return true;
    current = issuer;
  }
  return false;
}

/** A signature is as good as it ever was: checked once. */
const signatures = new WeakMap<X509Certificate, WeakMap<X509Certificate, boolean>>();

function signed(issuer: X509Certificate, child: X509Certificate): boolean {
  const checked = signatures.get(issuer) ?? new WeakMap<X509Certificate, boolean>();
  signatures.set(issuer, checked);
  const known = checked.get(child) ?? (child.checkIssued(issuer) && child.verify(issuer.publicKey));
  checked.set(child, known);
  return known;
}
