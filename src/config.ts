import { createHash } from 'node:crypto';
import { z } from 'zod';
import { OperatorError } from './errors.ts';
import type { TerminatorAddress } from './terminator/proof/addresses.ts';
import { drivers } from './terminator/registry.ts';

const name = z.string().regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'lower-case letters, digits, "-" and "."');
/** The platform alone names them: what is written to them is no secret, but it comes from the operator. */
const terminatorAddress = z
  .string()
  .max(260)
  .regex(/^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?):[0-9]{1,5}$/, 'host:port')
  .transform((text) => {
    const colon = text.lastIndexOf(':');
    return { host: text.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(text.slice(colon + 1)) };
  })
  .refine(({ port }) => port > 0 && port < 65536, 'a port from 1 to 65535');
const DEFAULT_CONTROLLER_NAME = 'certbound.dev/operator';

const schema = z.object({
  /** Names this cluster in registrations and identities; must survive a rebuild of the cluster. */
  CERTBOUND_CLUSTER_ID: name.max(40),
  /** Where own Secrets, CAs and claims live. */
  CERTBOUND_NAMESPACE: name.max(63).default('certbound-system'),
  /** Namespaces whose clients and Ingresses are served, by commas; without it, all. */
  CERTBOUND_WATCH_NAMESPACES: z
    .string()
    .transform((list) => [...new Set(list.split(',').map((each) => each.trim()))])
    .pipe(z.array(name.max(63)))
    .default([]),
  /** Drivers of TLS terminators that are switched on, by commas; what they need, the chart grants. `none`: none. */
  CERTBOUND_TERMINATORS: z
    .string()
    .transform((list) => (list === 'none' ? [] : [...new Set(list.split(',').map((each) => each.trim()))]))
    .pipe(z.array(z.enum(drivers.map((driver) => driver.name).filter((each) => each !== 'manual'))))
    .default(['nginx']),
  /** Where terminators are reached, by their controllers, as JSON: `{"k8s.io/ingress-nginx": ["ingress-nginx.example:443"]}`. */
  CERTBOUND_TERMINATOR_ADDRESSES: z
    .string()
    .transform((text, context) => {
      try {
        const value: unknown = JSON.parse(text);
        return value;
      } catch {
        context.addIssue('JSON');
        return z.NEVER;
      }
    })
    .pipe(z.record(z.string().min(1).max(253), z.array(terminatorAddress).min(1).max(16)))
    .default({}),
  /** `spec.controller` of IngressClasses whose terminators the platform configures by hand, by commas. */
  CERTBOUND_TERMINATORS_MANUAL: z
    .string()
    .transform((list) => [...new Set(list.split(',').map((each) => each.trim()))])
    .pipe(
      z.array(
        z
          .string()
          .regex(/^[a-z0-9][-a-z0-9.]*\/[-a-zA-Z0-9._/]+$/, 'spec.controller of an IngressClass')
          .max(250),
      ),
    )
    .default([]),
  CERTBOUND_CONTROLLER_NAME: z.string().min(1).max(253).default(DEFAULT_CONTROLLER_NAME),
  /** Without it a second instance would do everything twice. */
  CERTBOUND_LEADER_ELECTION: z.stringbool({ truthy: ['true'], falsy: ['false'] }).default(true),
  /** Of this Pod alone: its next container need not wait for the Lease of the one before. */
  CERTBOUND_POD_NAME: name.max(253).optional(),
  /** Absent: the Pod's service account. */
  KUBECONFIG: z.string().optional(),
  CERTBOUND_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
  CERTBOUND_HTTP_ADDRESS: z.string().default('0.0.0.0'),
  CERTBOUND_HTTP_PORT: z.coerce.number().int().min(0).max(65535).default(8080),
  /** URL at which authorization servers reach the key sets of clients (RFC 7591, `jwks_uri`); without it none are served. */
  CERTBOUND_JWKS_URL: z
    .url({ protocol: /^https$/, error: 'an https URL without query or fragment' })
    .refine((url) => !/[?#]/.test(url), 'an https URL without query or fragment')
    .optional(),
  CERTBOUND_JWKS_PORT: z.coerce.number().int().min(0).max(65535).default(8443),
  /** A directory with `tls.crt` and `tls.key`. */
  CERTBOUND_JWKS_TLS_DIRECTORY: z.string().default('/etc/certbound/jwks-tls'),
  /** Clients worked on at the same time. */
  CERTBOUND_WORKERS: z.coerce.number().int().min(1).max(256).default(16),
});

export interface Config {
  readonly clusterId: string;
  readonly namespace: string;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  /** Names of the terminator drivers that are switched on. */
  readonly terminators: ReadonlySet<string>;
  /** Where terminators are asked whether they do what they are configured to do; by controller or frontend. */
  readonly terminatorAddresses: ReadonlyMap<string, readonly TerminatorAddress[]>;
  /** Controllers of the terminators that the platform configures by hand. */
  readonly manualTerminators: ReadonlySet<string>;
  readonly controllerName: string;
  readonly leaderElection: boolean;
  /** Of those that act on the same AuthorizationServers one works at a time. */
  readonly leaseName: string;
  readonly podName: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly logLevel: string;
  readonly httpAddress: string;
  readonly httpPort: number;
  /** Where the key sets of clients are served, if they are. */
  readonly jwks: { readonly url: string; readonly port: number; readonly tlsDirectory: string } | undefined;
  readonly workers: number;
}

/** @throws OperatorError `InvalidConfiguration`, terminal, naming each variable that is wrong. */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const set = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = schema.safeParse(set);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    throw new OperatorError('InvalidConfiguration', `Set the environment right and start again: ${problems}.`, {
      retry: { class: 'terminal' },
    });
  }
  const env = parsed.data;
  return Object.freeze({
    clusterId: env.CERTBOUND_CLUSTER_ID,
    namespace: env.CERTBOUND_NAMESPACE,
    watchNamespaces: env.CERTBOUND_WATCH_NAMESPACES,
    terminatorAddresses: new Map(Object.entries(env.CERTBOUND_TERMINATOR_ADDRESSES)),
    terminators: new Set([
      ...env.CERTBOUND_TERMINATORS,
      ...(env.CERTBOUND_TERMINATORS_MANUAL.length === 0 ? [] : ['manual']),
    ]),
    manualTerminators: new Set(env.CERTBOUND_TERMINATORS_MANUAL),
    controllerName: env.CERTBOUND_CONTROLLER_NAME,
    leaderElection: env.CERTBOUND_LEADER_ELECTION,
    leaseName: leaseName(env.CERTBOUND_CONTROLLER_NAME),
    podName: env.CERTBOUND_POD_NAME,
    kubeconfig: env.KUBECONFIG,
    logLevel: env.CERTBOUND_LOG_LEVEL,
    httpAddress: env.CERTBOUND_HTTP_ADDRESS,
    httpPort: env.CERTBOUND_HTTP_PORT,
    jwks:
      env.CERTBOUND_JWKS_URL === undefined
        ? undefined
        : {
            url: env.CERTBOUND_JWKS_URL,
            port: env.CERTBOUND_JWKS_PORT,
            tlsDirectory: env.CERTBOUND_JWKS_TLS_DIRECTORY,
          },
    workers: env.CERTBOUND_WORKERS,
  });
}

/** A controller name has characters that an object's name may not have. The chart grants rights on the same name. */
function leaseName(controllerName: string): string {
  if (controllerName === DEFAULT_CONTROLLER_NAME) return 'certbound';
  return `certbound-${createHash('sha256').update(controllerName).digest('hex').slice(0, 10)}`;
}
