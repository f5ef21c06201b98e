/** What the API server is to refuse or to accept of a kind. */
import type { Resource } from '../../../src/kube/resource.ts';

export type Spec = Readonly<Record<string, unknown>>;

export interface AcceptedCase {
  name: string;
  /** What exists already; absent for a creation. */
  before?: Spec;
  spec: Spec;
}

export interface RefusedCase extends AcceptedCase {
  /** The field that the answer names, and what it says of it. */
  field: string;
  says: RegExp;
}

type OfKind<C> = C & { readonly resource: Resource };

export const of = <C extends AcceptedCase>(resource: Resource, cases: readonly C[]): OfKind<C>[] =>
  cases.map((each) => ({ ...each, resource }));

export const sizes = /size must be 256 or 384 for ECDSA \(the default algorithm\), and 2048, 3072 or 4096 for RSA/;
export const oneSubject = /Write exactly one of dn, dnsName, uri, ipAddress and emailAddress: RFC 8705 §2\.1\.2/;
