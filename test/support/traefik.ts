/** Traefik itself, watching an API server. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, customResourceDefinitions, ingresses, type KubernetesObject } from '../../src/kube/resource.ts';
import { middlewares } from '../../src/terminator/drivers/traefik.ts';
import { traefikBinary } from './binaries.ts';
import { type Child, startChild } from './child.ts';
import { documents, ingress } from './cluster-objects.ts';
import { isEstablished } from './crds.ts';
import { freePort } from './free-port.ts';
import { accepts } from './listen.ts';
import { waitFor } from './wait-for.ts';

/** Whose objects it serves: Ingresses with its own annotations and kinds, or those written for ingress-nginx. */
export type TraefikProvider = 'kubernetesIngress' | 'kubernetesIngressNGINX';

export interface TraefikOptions {
  /** With the rights of Traefik's own ClusterRole, or more. */
  kubeconfigPath: string;
  provider: TraefikProvider;
  /** Whose Ingresses it serves; for ingress-nginx' it is the class's controller that counts. */
  ingressClass: string;
  /** On 127.0.0.1. Default: free ones. */
  httpsPort?: number;
  httpPort?: number;
  /** More of the static configuration, as on the command line. */
  flags?: readonly string[];
}

const routersSchema = z.array(
  z.object({ name: z.string(), rule: z.string(), status: z.string(), error: z.array(z.string()).optional() }),
);

export interface Traefik {
  readonly version: string;
  readonly httpsPort: number;
  readonly httpPort: number;
  /** What it has made of the objects. */
  routers(): Promise<z.infer<typeof routersSchema>>;
  log(): Promise<string>;
  stop(): Promise<void>;
}

const TRAEFIK_CRD = /^traefik\.io_.+\.yaml$/;

/** The kinds of traefik.io of the same version. The kubernetesCRD provider serves nothing while any is missing. */
export async function applyTraefikCrds(kube: KubeClient): Promise<void> {
  const { crds } = await traefikBinary();
  const files = (await readdir(crds)).filter((file) => TRAEFIK_CRD.test(file));
  const definitions = (await Promise.all(files.map((file) => documents(join(crds, file))))).flat();
  if (definitions.length === 0) throw new Error(`no CRDs in ${crds}`);
  for (const definition of definitions) {
    await kube.apply(customResourceDefinitions, definition, { fieldManager: 'traefik-chart', force: true });
  }
  for (const { metadata } of definitions) {
    await waitFor(async () => isEstablished(await kube.get(customResourceDefinitions, { name: metadata.name })));
  }
}

/** As `localService`: of an ExternalName Traefik's provider kubernetesIngress takes the Service's own port, and no targetPort. */
export function externalService(ref: { namespace: string; name: string }, port: number): KubernetesObject {
  const spec = { type: 'ExternalName', externalName: 'localhost', ports: [{ name: 'http', port }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: ref, spec };
}

/** An Ingress that is for the port of an `externalService`. */
export function byPortName(object: KubernetesObject): KubernetesObject {
  const text = JSON.stringify(object['spec'] ?? {}).replaceAll('{"number":80}', '{"name":"http"}');
  return { ...object, spec: JSON.parse(text) as unknown };
}

/** What a platform would have in its values. */
function flagsOf({ provider, ingressClass, flags = [] }: TraefikOptions): string[] {
  const own =
    provider === 'kubernetesIngressNGINX'
      ? ['--providers.kubernetesIngressNGINX=true']
      : [
          `--providers.kubernetesIngress.ingressClass=${ingressClass}`,
          '--providers.kubernetesIngress.allowExternalNameServices=true',
        ];
  return [...own, '--providers.kubernetesCRD=true', ...flags];
}

/** What docs/terminators.md asks of the platform against clients' own certificate headers: an object, and the flags that name it. */
export function headersRemoved(namespace: string): { middleware: KubernetesObject; flags: readonly string[] } {
  const name = 'blanks';
  const headers = ['cert', 'verify', 'subject-dn', 'issuer-dn'].map((header) => [`ssl-client-${header}`, '']);
  return {
    // Before any router, whose own middlewares write them.
    middleware: {
      apiVersion: apiVersionOf(middlewares),
      kind: middlewares.kind,
      metadata: { namespace, name },
      spec: { headers: { customRequestHeaders: Object.fromEntries(headers) } },
    },
    flags: ['web', 'websecure'].flatMap((entryPoint) => [
      `--entryPoints.${entryPoint}.http.middlewares=${namespace}-${name}@kubernetescrd`,
      `--entryPoints.${entryPoint}.http.underscoreHeadersStrategy=reject`,
    ]),
  };
}

async function pinnedVersion(): Promise<string> {
  const goMod = await readFile(join(import.meta.dirname, '../../hack/tools/traefik/go.mod'), 'utf8');
  return /traefik\/v3 v(\d+\.\d+\.\d+)/.exec(goMod)?.[1] ?? '';
}

let markers = 0;

/**
 * Until it serves what was written before: what is written last, of its own kinds and as an Ingress, is what it hears of
 * last.
 */
export async function traefikSettled(
  traefik: Pick<Traefik, 'routers'>,
  kube: KubeClient,
  { namespace, ingressClass }: { namespace: string; ingressClass: string },
): Promise<void> {
  const name = `marker-${++markers}`;
  const host = `${name}.example.test`;
  await kube.create(middlewares, {
    metadata: { namespace, name },
    spec: { headers: { customRequestHeaders: { 'X-Marker': name } } },
  });
  const annotations = { 'traefik.ingress.kubernetes.io/router.middlewares': `${namespace}-${name}@kubernetescrd` };
  await kube.create(ingresses, byPortName(ingress({ namespace, name, annotations }, host, 'backend', ingressClass)));
  const isServed = async () => {
    const found = (await traefik.routers()).filter(({ rule }) => rule.includes(host));
    return found.length > 0 && found.every(({ status }) => status === 'enabled');
  };
  await waitFor(isServed, 60_000).catch(async (cause: unknown) => {
    throw new Error(`Traefik does not serve ${host}: ${JSON.stringify(await traefik.routers())}`, { cause });
  });
  await kube.delete(ingresses, { namespace, name });
  await kube.delete(middlewares, { namespace, name });
}

/** Serves when this resolves; what it makes of the objects comes a moment later. */
export async function startTraefik(options: TraefikOptions): Promise<Traefik> {
  const { command } = await traefikBinary();
  const directory = await mkdtemp(join(tmpdir(), 'certbound-traefik-'));
  const { httpsPort = await freePort(), httpPort = await freePort() } = options;
  const apiPort = await freePort();
  const logFile = join(directory, 'traefik.log');
  const child = await startChild({
    command,
    args: [
      '--global.checkNewVersion=false',
      '--global.sendAnonymousUsage=false',
      '--log.level=INFO',
      `--entryPoints.web.address=127.0.0.1:${httpPort}`,
      `--entryPoints.websecure.address=127.0.0.1:${httpsPort}`,
      '--entryPoints.websecure.http.tls=true',
      `--entryPoints.traefik.address=127.0.0.1:${apiPort}`,
      '--api.insecure=true',
      '--ping=true',
      ...flagsOf(options),
    ],
    logFile,
    env: { PATH: process.env['PATH'], HOME: directory, KUBECONFIG: options.kubeconfigPath },
  });
  const api = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${apiPort}${path}`, { signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.text();
  };
  try {
    await ready(child, async () => {
      const ports = await Promise.all([httpsPort, httpPort, apiPort].map((port) => accepts(port)));
      // It listens before it has a configuration of its own, and answers 404 until then.
      return ports.every(Boolean) && (await api('/ping').catch(() => '')) === 'OK';
    });
  } catch (error) {
    await child.end();
    throw error;
  }
  return {
    version: await pinnedVersion(),
    httpsPort,
    httpPort,
    routers: async () => routersSchema.parse(JSON.parse(await api('/api/http/routers?per_page=1000'))),
    log: () => readFile(logFile, 'utf8'),
    async stop() {
      await child.end();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function ready(child: Child, condition: () => Promise<boolean>): Promise<void> {
  return waitFor(async () => {
    if (!child.running()) throw new Error(`traefik has ended\n${await child.tail()}`);
    return condition();
  }, 60_000);
}
