import type { ObjectRef } from '../kube/resource.ts';

/** What an Ingress's owner asks for: a verified certificate, one if there is one, or any, unverified. */
export type ClientCertificates = 'required' | 'optional' | 'request';

export interface Rendering {
  bundleSecret: ObjectRef & { namespace: string };
  mode: ClientCertificates;
  /** CA certificates between a leaf and the end of the longest chain in the bundle, the root included; at least 1. */
  depth: number;
}

export interface TerminatorCapabilities {
  /** What one object decides for; a product whose unit is the listener or the whole controller needs another kind. */
  scope: 'host';
  /** It can ask for a certificate without requiring one. */
  optional: boolean;
  /** It can take any certificate without verifying it (RFC 8705 §2.2). */
  request: boolean;
  /** It reads revocation lists. */
  crl: boolean;
}

/** One product's way to be told about client certificates on an Ingress. Pure. */
export interface TerminatorDriver {
  readonly name: string;
  readonly capabilities: TerminatorCapabilities;
  /** Annotation keys that `render` may write; nothing else on an Ingress is ever the operator's. */
  readonly ownedKeys: readonly string[];
  /** Annotation keys that are only read. */
  readonly watchedKeys: readonly string[];
  /** @param controller `spec.controller` of an IngressClass */
  detect(controller: string): boolean;
  render(rendering: Rendering): Record<string, string>;
  /** Whether a client's own copy of the certificate header is overwritten on the hosts of an Ingress annotated so. */
  overwritesHeaders(annotations: Readonly<Record<string, string>>): boolean;
  /** What in the owner's own annotations undoes client authentication, as a sentence to its owner. */
  hazard(annotations: Readonly<Record<string, string>>): string | undefined;
  /** The CA Secret that such annotations name. */
  bundleOf(annotations: Readonly<Record<string, string>>): { namespace: string; name: string } | undefined;
}
