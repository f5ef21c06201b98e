import { z } from 'zod';
import { CLIENT_CERTIFICATES, MODE, OPT_IN } from '../../api/annotations.ts';
import { gateways, httpProxies, ingresses, type Resource } from '../../kube/resource.ts';
import type { ClientCertificates, FrontendKind, Settings } from '../driver.ts';

/** What the owner of a frontend asks of us. */
export interface OptIn {
  /** Name of an AuthorizationServer; undefined: not opted in. */
  server: string | undefined;
  clientCertificates: ClientCertificates;
  mode: 'manage' | 'report' | 'off';
  /** What is wrong with our annotations, as a sentence to their owner; the values above are then not to be acted on. */
  invalid: string | undefined;
}

/** One that routes of HTTP may hang on. */
export interface Listener {
  name: string;
  port: number;
  /** '' for every name; may begin with `*.`. */
  hostname: string;
  /** Its clients speak TLS with it. */
  tls: boolean;
  /** Namespaces of whose routes it takes. */
  from: string;
}

/** What the cache keeps of an object by which a terminator is told what it serves: an Ingress, an HTTPProxy, a Gateway. */
export interface Frontend {
  kind: FrontendKind;
  namespace: string;
  name: string;
  uid: string;
  resourceVersion: string;
  className: string | undefined;
  /** Named hosts that it serves, sorted, each once; of a Gateway its `namespace/name`. */
  hosts: readonly string[];
  /**
   * What live connections are about: its hosts, wildcards too. A Gateway's are its own, whoever else has the same, and called
   * `namespace/name/hostname`; `*` where a listener has none.
   */
  proofHosts: readonly string[];
  /** It serves traffic of no named host: that of the default server. */
  hostless: boolean;
  tlsHosts: readonly string[];
  /** Services behind each host ('' for traffic of no named host), in its own namespace. */
  backends: readonly { host: string; service: string }[];
  /** Of a Gateway. */
  listeners?: readonly Listener[];
  optIn: OptIn;
  /** Settings that terminator drivers write or look at. */
  settings: Settings;
  /** Field managers of each of those settings but ours. */
  otherOwners: Readonly<Record<string, readonly string[]>>;
  /** Settings that our field manager owns, whether drivers still know them or not. */
  ownKeys: readonly string[];
  /** When our apply changed it last, epoch milliseconds. */
  appliedAt: number | undefined;
  /** The field manager of the latest write but ours. */
  lastWriter: string | undefined;
  deleting: boolean;
  /** Its controller has spoken of an earlier generation and not of this one: it is slow, away, or does not serve this class. */
  unobserved?: true;
  /** RFC 3339. */
  creationTimestamp: string;
}

export type FrontendRef = Pick<Frontend, 'kind' | 'namespace' | 'name'>;

export const frontendResources: Readonly<Record<FrontendKind, Resource>> = {
  Ingress: ingresses,
  HTTPProxy: httpProxies,
  Gateway: gateways,
};

const clientCertificates = z.enum(['required', 'optional', 'request']);
const mode = z.enum(['manage', 'report', 'off']);

/** The opt-in's annotations are the same on every kind. */
export function parseOptIn(annotations: Readonly<Record<string, string>>): OptIn {
  const server = annotations[OPT_IN];
  const certificates = clientCertificates.safeParse(annotations[CLIENT_CERTIFICATES] ?? 'required');
  const parsedMode = mode.safeParse(annotations[MODE] ?? 'manage');
  const wrong = [
    ...(server === '' ? [`${OPT_IN} is empty: write the name of an AuthorizationServer, or remove it`] : []),
    ...(certificates.success ? [] : [`${CLIENT_CERTIFICATES} must be ${clientCertificates.options.join(', ')}`]),
    ...(parsedMode.success ? [] : [`${MODE} must be ${mode.options.join(', ')}`]),
  ];
  return {
    server,
    clientCertificates: certificates.data ?? 'required',
    mode: parsedMode.data ?? 'manage',
    invalid: server === undefined || wrong.length === 0 ? undefined : `${wrong.join('; ')}.`,
  };
}

/** Asks for client authentication, rightly or wrongly. A mode that cannot be read is no opt-out. */
export function isOptedIn({ optIn }: Pick<Frontend, 'optIn'>): boolean {
  return optIn.server !== undefined && (optIn.mode !== 'off' || optIn.invalid !== undefined);
}

/** It has opted in, or carries settings of ours. */
export const isMember = (frontend: Frontend): boolean => isOptedIn(frontend) || frontend.ownKeys.length > 0;

/** `Ingress accounts/api`: how messages name it to the platform team. */
export function frontendName({ kind, namespace, name }: FrontendRef): string {
  return `${kind} ${namespace}/${name}`;
}
