import type { ObjectRef, Resource } from '../kube/resource.ts';
import type { Version } from './version.ts';

/** What a frontend's owner asks for: a verified certificate, one if there is one, or any, unverified. */
export type ClientCertificates = 'required' | 'optional' | 'request';

/** Kinds by whose objects terminators are told which hosts they serve, and how. */
export type FrontendKind = 'Ingress' | 'HTTPProxy' | 'Gateway';

/**
 * Fields of a frontend by their names: an annotation by its key and value, a field of the spec by its path
 * (`spec.virtualhost.tls.clientValidation`) and its canonical JSON (`canonicalJson` of settings.ts).
 */
export type Settings = Readonly<Record<string, string>>;

export interface Rendering {
  /** The object that holds the CAs under `ca.crt`; it is there before the settings name it. */
  bundle: ObjectRef & { namespace: string };
  /** Whose settings are rendered. Settings that it has by others may be read, so that a list can be added to. */
  frontend: ObjectRef & { namespace: string; settings: Settings };
  mode: ClientCertificates;
  /** Of the frontend's class, by the platform. Default: none. */
  classAnnotations?: Readonly<Record<string, string>>;
  /** CA certificates between a leaf and the end of the longest chain in the bundle, the root included; at least 1. */
  depth: number;
}

/** An object of the product's own that the settings name: labelled and written whole by the operator, in the frontend's namespace. */
export interface Companion {
  resource: Resource;
  /** At most 63 characters, the same for the same frontend. */
  name: string;
  /** With every default that the API server would fill in: it is compared as a whole. */
  spec: Readonly<Record<string, unknown>>;
}

export interface Rendered {
  settings: Settings;
  /** Written before the settings and deleted after them. */
  companions: readonly Companion[];
}

export interface TerminatorCapabilities {
  /** What one frontend decides for: all of a host, all of a listener, or everything that the product serves. */
  scope: 'host' | 'listener' | 'controller';
  /** It can ask for a certificate without requiring one. */
  optional: boolean;
  /** It can take any certificate without verifying it (RFC 8705 §2.2). */
  request: boolean;
  /** It reads revocation lists. */
  crl: boolean;
  /** It passes the certificate on to what is behind it. */
  forwards: boolean;
  /** Whether clients' own copies of its certificate headers are removed: on every host, or only where it forwards its own. */
  strips: 'always' | 'whereForwarded';
  /** Its header's format, a name of `src/verifier/terminators.ts`. */
  header: string;
}

/** A bundle and what is in it. */
export interface TrustedPem {
  namespace: string;
  name: string;
  pem: string;
}

/** What people have said of a frontend: its owner in its settings, the platform in its class's annotations. */
export interface Prepared {
  settings: Settings;
  classAnnotations: Readonly<Record<string, string>>;
}

/** Something of a frontend's own by which who has no certificate gets in, or what is verified is not what is written here. */
export interface Hazard {
  reason: 'PlainHTTP' | 'TLSPassthrough' | 'HostAlias' | 'VerificationOverridden';
  /** To its owner: what it does, and what to do. */
  message: string;
}

/** One product's way to be told about client certificates. Pure. */
export interface TerminatorDriver {
  readonly name: string;
  readonly frontend: FrontendKind;
  readonly capabilities: TerminatorCapabilities;
  /** What the CAs are kept in. */
  readonly bundleKind: 'Secret' | 'ConfigMap';
  /** Settings that `render` may write; nothing else of a frontend is ever the operator's. */
  readonly ownedKeys: readonly string[];
  /** Settings that are only read. */
  readonly watchedKeys: readonly string[];
  /**
   * The setting that all frontends of a host must have alike, or the product asks nobody on it for a certificate. Absent:
   * one frontend decides for all.
   */
  readonly hostKey?: string;
  /** Kinds of its companions. */
  readonly companionKinds: readonly Resource[];
  /**
   * How long the product may take to hear of a companion, or of settings that name it no more, milliseconds. Settings that
   * name one which it does not know end every connection of the host. Absent: it hears of both in their order.
   */
  readonly companionsLoadMs?: number;
  /** @param controller `spec.controller` of an IngressClass, `spec.controllerName` of a GatewayClass */
  detect(controller: string): boolean;
  /**
   * How it is known that the terminator does what the settings say. `proof`: there are none that the operator could read,
   * so it counts only once a live connection has shown it. Default `settings`.
   */
  readonly inEffectBy?: 'settings' | 'proof';
  /** The oldest that is safe, e.g. `Traefik 3.7.11`, where this one is older. */
  tooOld?(version: Version, controller: string): string | undefined;
  /** What somebody has to say before anything can be rendered safely, as a sentence to them. Then nothing is changed. */
  missing?(said: Prepared): string | undefined;
  /** Where the product reads its CAs from outside the cluster: what to do until they are the bundle's, as a sentence. */
  outdated?(settings: Settings, bundle: TrustedPem): string | undefined;
  render(rendering: Rendering): Rendered;
  /** Whether a client's own copy of the certificate header is overwritten on the hosts of a frontend set so. */
  overwritesHeaders(settings: Settings): boolean;
  /** What in the owner's own settings undoes client authentication. */
  hazard(settings: Settings): Hazard | undefined;
  /** Name of the object with the CAs that such settings name, directly or by a companion of ours. */
  bundleOf(settings: Settings): { namespace: string; name: string } | undefined;
}
