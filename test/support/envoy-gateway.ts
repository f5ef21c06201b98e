/**
 * Envoy Gateway itself, on the Gateways of a test's API server. It starts an Envoy for each Gateway by its own infrastructure
 * provider for hosts; all else is as in a cluster.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { KubeClient } from '../../src/kube/client.ts';
import { customResourceDefinitions, type KubernetesObject } from '../../src/kube/resource.ts';
import { cacheFolder, envoyGatewayBinary } from './binaries.ts';
import { freeze, startChild } from './child.ts';
import { apply, namespace, objectsOf } from './cluster-objects.ts';
import type { ControlPlane } from './control-plane.ts';
import { isEstablished } from './crds.ts';
import { findEnvoy } from './envoy.ts';
import { tryLock } from './file-lock.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const NAMESPACE = 'envoy-gateway-system';
/** As hack/tools/envoy-gateway/go.mod pins it. */
const VERSION = '1.9.1';
const ENVOY_VERSION = '1.40.0';
/** Of its readiness; neither this nor the port of its xDS server (18000) can be chosen, so one runs at a time. */
const PROBE = 'http://127.0.0.1:8081/readyz';
const POLL_MS = 250;

export const GATEWAY_CLASS: KubernetesObject = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'GatewayClass',
  metadata: { name: 'envoy' },
  spec: { controllerName: 'gateway.envoyproxy.io/gatewayclass-controller' },
};

export interface EnvoyGateway {
  /** Its Envoys go on with what they have, and hear of nothing until the returned function is called. */
  freeze(): () => void;
  readonly version: string;
  /** PEM of whom its Envoys trust now, an entry for each bundle. */
  trusted(): Promise<string[]>;
  /** What Envoy Gateway and its Envoys wrote. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

/** The product's files of CRDs, some of which are Helm templates with one condition around all. */
async function definitionsIn(folder: string): Promise<KubernetesObject[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml');
  const objects = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(folder, file), 'utf8');
      return objectsOf(text.replaceAll(/^\{\{.*\}\}$/gm, ''), file);
    }),
  );
  return objects.flat().filter(({ kind }) => kind === 'CustomResourceDefinition');
}

/** CRDs of the Gateway API and of Envoy Gateway; returns once the API server serves them all. */
export async function applyGatewayCrds(kube: KubeClient): Promise<void> {
  const { crds, gatewayApiCrds } = await envoyGatewayBinary();
  const definitions = [...(await definitionsIn(gatewayApiCrds)), ...(await definitionsIn(crds))];
  for (const definition of definitions) {
    await kube.apply(customResourceDefinitions, definition, { fieldManager: 'kubectl', force: true });
  }
  for (const { metadata } of definitions) {
    await waitFor(async () => isEstablished(await kube.get(customResourceDefinitions, { name: metadata.name })));
  }
}

const secretsDump = z.object({
  configs: z
    .array(
      z.object({
        secret: z.object({
          validation_context: z.object({ trusted_ca: z.object({ inline_bytes: z.string() }) }).optional(),
        }),
      }),
    )
    .default([]),
});

/** By the admin interface of each Envoy, whose address it wrote into a file of its run. */
async function trustedIn(runs: string): Promise<string[]> {
  const folders = await readdir(runs).catch(() => []);
  const bundles = await Promise.all(
    folders.map(async (folder) => {
      const address = await readFile(join(runs, folder, 'admin-address.txt'), 'utf8').catch(() => undefined);
      if (address === undefined) return [];
      const url = `http://${address.trim().replace('0.0.0.0', '127.0.0.1')}/config_dump?resource=dynamic_active_secrets`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
      const { configs } = secretsDump.parse(answer?.ok === true ? await answer.json() : {});
      return configs.flatMap(({ secret }) => secret.validation_context?.trusted_ca.inline_bytes ?? []);
    }),
  );
  return bundles.flat().map((bytes) => Buffer.from(bytes, 'base64').toString('utf8'));
}

/** In JSON, which is YAML. */
function configuration(directory: string): string {
  const home = (name: string) => join(directory, name);
  return JSON.stringify({
    apiVersion: 'gateway.envoyproxy.io/v1alpha1',
    kind: 'EnvoyGateway',
    gateway: { controllerName: 'gateway.envoyproxy.io/gatewayclass-controller' },
    provider: {
      type: 'Custom',
      custom: {
        resource: { type: 'Kubernetes', kubernetes: { leaderElection: { disable: true } } },
        infrastructure: {
          type: 'Host',
          host: {
            configHome: home('config'),
            dataHome: home('data'),
            stateHome: home('state'),
            runtimeDir: home('run'),
          },
        },
      },
    },
    envoyProxy: {
      provider: { type: 'Host', host: { envoyVersion: ENVOY_VERSION } },
      concurrency: 1,
      // Several Envoys on one machine would want the same socket for it.
      extraArgs: ['--disable-hot-restart'],
    },
    // EndpointSlices refuse loopback addresses; its own kind of backend takes them.
    extensionApis: { enableBackend: true },
    telemetry: { metrics: { prometheus: { disable: true } } },
    logging: { level: { default: 'info' } },
  });
}

/**
 * It reads its certificates in /certs, where a Pod has them by a Secret: a root of its own has the folder there, and the
 * rest of this machine's.
 */
const IN_ITS_ROOT = `set -e
root=$1 certs=$2
shift 2
mount -t tmpfs none "$root"
for each in /*; do
  if [ -L "$each" ]; then cp -P "$each" "$root$each"
  elif [ -d "$each" ]; then mkdir "$root$each"; mount --rbind "$each" "$root$each"
  fi
done
mkdir -p "$root/certs"
mount --bind "$certs" "$root/certs"
exec chroot "$root" "$@"`;

function inItsRoot(root: string, certs: string, command: readonly string[]): readonly string[] {
  const rights = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  return ['--mount', '--propagation', 'private', ...rights, 'sh', '-c', IN_ITS_ROOT, 'sh', root, certs, ...command];
}

/** Waits for another process's Envoy Gateway to end: its ports are always the same. */
async function onlyOne(): Promise<() => Promise<void>> {
  await mkdir(cacheFolder(), { recursive: true });
  for (;;) {
    const lock = await tryLock(join(cacheFolder(), 'envoy-gateway.lock'));
    if ('release' in lock) return () => lock.release();
    await sleep(POLL_MS);
  }
}

/**
 * It has the class `envoy`, and reads the API server as admin. Linux only. Ready when its caches are; a Gateway's Envoy
 * serves some seconds after the Gateway is there.
 *
 * @param plane with the CRDs of `applyGatewayCrds`
 */
export async function startEnvoyGateway(plane: ControlPlane, kube: KubeClient): Promise<EnvoyGateway> {
  const [{ command }, envoy] = [await envoyGatewayBinary(), await findEnvoy()];
  if (envoy === undefined) throw new Error('there is no Envoy: see test/support/envoy.ts');
  const directory = await mkdtemp(join(tmpdir(), 'certbound-envoy-gateway-'));
  const release = await onlyOne();
  const parts = new AsyncDisposableStack();
  parts.defer(release);
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  try {
    const bin = join(directory, 'data', 'envoy-versions', ENVOY_VERSION, 'bin');
    await mkdir(bin, { recursive: true });
    await symlink(envoy, join(bin, 'envoy'));
    const [root, certs, file] = [
      join(directory, 'root'),
      join(directory, 'config', 'certs', 'envoy-gateway'),
      join(directory, 'envoy-gateway.json'),
    ];
    await mkdir(root);
    await writeFile(file, configuration(directory));
    await apply(kube, namespace(NAMESPACE), GATEWAY_CLASS);
    const env = {
      PATH: process.env['PATH'],
      HOME: directory,
      KUBECONFIG: plane.kubeconfigPath,
      ENVOY_GATEWAY_NAMESPACE: NAMESPACE,
    };
    // In files for itself and its Envoys, and in the Secrets without which it translates nothing.
    await run(command, ['certgen', '--local', '--config-home', join(directory, 'config')], { env });
    await run(command, ['certgen', '--disable-topology-injector'], { env });
    const child = await startChild({
      command: 'unshare',
      args: inItsRoot(root, certs, [command, 'server', '--config-path', file]),
      logFile: join(directory, 'envoy-gateway.log'),
      env,
    });
    parts.defer(() => child.end());
    await waitFor(async () => {
      if (!child.running()) throw new Error(`Envoy Gateway has ended\n${await child.tail()}`);
      return fetch(PROBE, { signal: AbortSignal.timeout(2_000) }).then(
        ({ ok }) => ok,
        () => false,
      );
    }, 60_000).catch(async (cause: unknown) => {
      throw new Error(`Envoy Gateway is not ready\n${await child.tail()}`, { cause });
    });
    return {
      version: VERSION,
      trusted: () => trustedIn(join(directory, 'run')),
      freeze: () => freeze(child),
      log: () => readFile(child.logFile, 'utf8'),
      stop: () => parts.disposeAsync(),
    };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}
