import { createHash } from 'node:crypto';
import { z } from 'zod';
import { TRUST_STORE, TRUST_STORE_SHA256 } from '../../api/annotations.ts';
import type { Rendering, Settings, TerminatorDriver, TrustedPem } from '../driver.ts';

const prefix = 'alb.ingress.kubernetes.io';
const MUTUAL_AUTHENTICATION = `${prefix}/mutual-authentication`;
const LISTEN_PORTS = `${prefix}/listen-ports`;
const CERTIFICATE_ARN = `${prefix}/certificate-arn`;
const SSL_REDIRECT = `${prefix}/ssl-redirect`;

const trustStoreArn =
  /^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:truststore\/[A-Za-z0-9-]{1,32}\/[0-9a-f]{1,32}$/;
const listeners = z.array(z.partialRecord(z.enum(['HTTP', 'HTTPS']), z.int().min(1).max(65535))).min(1);
const authentications = z.array(
  z.object({ port: z.int(), mode: z.string(), trustStore: z.string().min(1).optional() }),
);

function parsed<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** As the controller reads them: without listen-ports, 443 where a certificate is named, else HTTP alone. */
function portsOf(settings: Settings): { http: readonly number[]; https: readonly number[] } | undefined {
  const text = settings[LISTEN_PORTS];
  if (text === undefined) {
    return (settings[CERTIFICATE_ARN] ?? '') === '' ? { http: [80], https: [] } : { http: [], https: [443] };
  }
  const entries = parsed(listeners, text);
  if (entries === undefined) return undefined;
  const of = (protocol: 'HTTP' | 'HTTPS'): number[] =>
    entries.flatMap((entry) => entry[protocol] ?? []).toSorted((a, b) => a - b);
  return { http: of('HTTP'), https: of('HTTPS') };
}

/** Every TLS listener of the Ingress verifies against some trust store. */
function verifies(settings: Settings): boolean {
  const entries = parsed(authentications, settings[MUTUAL_AUTHENTICATION] ?? '') ?? [];
  const { https = [] } = portsOf(settings) ?? {};
  const verified = (port: number): boolean =>
    entries.some((entry) => entry.port === port && entry.mode === 'verify' && entry.trustStore !== undefined);
  return https.length > 0 && https.every(verified);
}

const isArn = (settings: Settings): boolean => trustStoreArn.test(settings[TRUST_STORE] ?? '');

/**
 * AWS Load Balancer Controller. Its CAs are in a trust store of AWS: the bundle in the cluster is the file to upload, and
 * the Ingress says which file was. Followed: docs/guide/ingress/annotations.md and pkg/ingress/model_build_listener.go of
 * 2026-08; no load balancer of AWS is among the tests.
 */
export const awsAlb: TerminatorDriver = {
  name: 'aws-alb',
  frontend: 'Ingress',
  capabilities: {
    scope: 'listener',
    optional: false,
    // Passthrough mode does, in another header.
    request: false,
    crl: false,
    forwards: true,
    // What becomes of a client's own header elsewhere, AWS does not say.
    strips: 'whereForwarded',
    header: 'aws-alb',
  },
  bundleKind: 'Secret',
  ownedKeys: [MUTUAL_AUTHENTICATION],
  watchedKeys: [TRUST_STORE, TRUST_STORE_SHA256, LISTEN_PORTS, CERTIFICATE_ARN, SSL_REDIRECT],
  companionKinds: [],

  detect: (controller) => controller === 'ingress.k8s.aws/alb',

  missing({ settings }) {
    const store = settings[TRUST_STORE];
    if (store === undefined) {
      return `The load balancer reads its CAs from a trust store of AWS: make one (aws elbv2 create-trust-store) and annotate ${TRUST_STORE} with its ARN.`;
    }
    if (!isArn(settings)) {
      return `${TRUST_STORE} is no ARN of a trust store: write arn:aws:elasticloadbalancing:<region>:<account>:truststore/<name>/<id>, as aws elbv2 describe-trust-stores prints it.`;
    }
    const ports = portsOf(settings);
    if (ports === undefined) return `${LISTEN_PORTS} cannot be read: write '[{"HTTPS": 443}]'.`;
    if (ports.https.length > 0) return undefined;
    return `The load balancer has no TLS listener for this Ingress, and without TLS there are no client certificates: annotate ${LISTEN_PORTS}: '[{"HTTPS": 443}]'.`;
  },

  render({ frontend: { settings } }: Rendering) {
    const https = portsOf(settings)?.https ?? [];
    const trustStore = settings[TRUST_STORE];
    if (!isArn(settings) || https.length === 0) return { settings: {}, companions: [] };
    const entries = https.map((port) => ({ port, mode: 'verify', trustStore }));
    return { settings: { [MUTUAL_AUTHENTICATION]: JSON.stringify(entries) }, companions: [] };
  },

  outdated(settings, { namespace, name, pem }: TrustedPem) {
    const sha256 = createHash('sha256').update(pem).digest('hex');
    if (settings[TRUST_STORE_SHA256] === sha256) return undefined;
    const get = `kubectl get secret --namespace ${namespace} ${name} --output jsonpath='{.data.ca\\.crt}' | base64 --decode > ca.pem`;
    const upload = `aws s3 cp ca.pem s3://<bucket>/ca.pem && aws elbv2 modify-trust-store --trust-store-arn ${settings[TRUST_STORE] ?? '<arn>'} --ca-certificates-bundle-s3-bucket <bucket> --ca-certificates-bundle-s3-key ca.pem`;
    return `The trust store is not known to hold the present CAs. Run: ${get} && ${upload}. Then annotate ${TRUST_STORE_SHA256}: ${sha256}`;
  },

  overwritesHeaders: verifies,

  hazard(settings) {
    const http = portsOf(settings)?.http ?? [];
    if (http.length === 0 || (settings[SSL_REDIRECT] ?? '') !== '') return undefined;
    return {
      reason: 'PlainHTTP',
      message: `${LISTEN_PORTS} has HTTP ${http.join(', ')}, where nobody is asked for a certificate: annotate ${SSL_REDIRECT}: '443', or remove it.`,
    };
  },

  // The trust store has a copy, whose name says nothing of the bundle.
  bundleOf: () => undefined,
};
