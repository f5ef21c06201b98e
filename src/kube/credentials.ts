import type { RequestOptions } from 'node:https';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
// The only place that loads this package: any import of it brings 85 MB of models along.
import { KubeConfig, type ConfigOptions } from '@kubernetes/client-node';
import { z } from 'zod';
import { OperatorError } from '../errors.ts';

export interface Credentials {
  /** Base URL of the API server, without a trailing slash. */
  server: string;
  headers: Readonly<Record<string, string>>;
  tls: Readonly<Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>>;
  proxyUrl: string | undefined;
}

const serviceAccountToken = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** How long material read from files is used; client-node reads a service account's token anew every 60 s besides. */
const freshForMs = 15_000;

/** After a failure everything is read again, but no more often than this. */
const reloadPauseMs = 1_000;

/**
 * Where the API server is and who we are there: a kubeconfig (client certificate, token, exec plugin) or the pod's
 * service account. Files are read again while running, since kubelets rotate tokens and clusters rotate CAs.
 */
export class CredentialSource {
  readonly #path: string | undefined;
  #config: KubeConfig;
  #current: Promise<Credentials> | undefined;
  #readAt = 0;
  #loadedAt = performance.now();

  constructor(path?: string) {
    this.#path = path;
    this.#config = loadConfig(path);
  }

  current(): Promise<Credentials> {
    const now = performance.now();
    if (this.#current === undefined || now - this.#readAt > freshForMs) {
      this.#readAt = now;
      const reading = readCredentials(this.#config);
      this.#current = reading;
      reading.catch(() => {
        if (this.#current === reading) this.#current = undefined;
      });
    }
    return this.#current;
  }

  /**
   * After a 401 or a failed handshake: forgets everything, cached tokens included.
   *
   * @returns false when that was done a moment ago, so that a try more would send the same again
   */
  reload(): boolean {
    const now = performance.now();
    if (now - this.#loadedAt < reloadPauseMs) return false;
    this.#loadedAt = now;
    try {
      this.#config = loadConfig(this.#path);
    } catch {
      // A kubeconfig in the middle of being written: what we have stays, the next failure tries again.
      return false;
    }
    this.#current = undefined;
    return true;
  }
}

const fileProvider = z.object({ config: z.object({ tokenFile: z.string() }) });

/** One scalar, in YAML's or JSON's spelling. */
const tokenFile = /(["']?)\btokenFile\1\s*:\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}#]+)/g;

/**
 * client-node looks for a user's `tokenFile` under the name `token-file`, which no kubeconfig has, and so would come as nobody.
 * The very same file as its provider for service accounts is read, and read again.
 */
class KubeConfigWithTokenFile extends KubeConfig {
  override loadFromString(text: string, options?: Partial<ConfigOptions>): void {
    const provider = '"auth-provider": {"name": "tokenFile", "config": {"tokenFile": $2}}';
    super.loadFromString(text.includes('auth-provider') ? text : text.replaceAll(tokenFile, provider), options);
  }

  /** Relative to the kubeconfig, as `client-certificate` is. */
  override makePathsAbsolute(directory: string): void {
    super.makePathsAbsolute(directory);
    for (const { authProvider } of this.users) {
      const config = fileProvider.safeParse(authProvider).data?.config;
      if (config !== undefined) authProvider.config.tokenFile = resolve(directory, config.tokenFile);
    }
  }
}

/** Order of controller-runtime: the given path, KUBECONFIG, the pod's service account, ~/.kube/config. */
function loadConfig(path: string | undefined): KubeConfig {
  const config = new KubeConfigWithTokenFile();
  try {
    if (path !== undefined) config.loadFromFile(path);
    else if ((process.env['KUBECONFIG'] ?? '') === '' && existsSync(serviceAccountToken)) config.loadFromCluster();
    else config.loadFromDefault();
  } catch (error) {
    throw new OperatorError('KubeconfigUnreadable', 'The kubeconfig cannot be read; check its path and its YAML.', {
      detail: error instanceof Error ? error.name : 'unknown error',
    });
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined || (path === undefined && server === 'http://localhost:8080')) {
    throw new OperatorError(
      'KubeconfigMissing',
      'No Kubernetes API server is configured: run in a cluster, or set KUBECONFIG.',
    );
  }
  return config;
}

async function readCredentials(config: KubeConfig): Promise<Credentials> {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new OperatorError('KubeconfigMissing', 'The kubeconfig names no current cluster.');
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    // client-node's errors may quote an exec plugin's output, which holds tokens.
    throw new OperatorError(
      'KubernetesCredentialsUnavailable',
      'The credentials for the Kubernetes API server cannot be read. It is retried.',
      { detail: error instanceof Error && 'code' in error ? String(error.code) : 'see the kubeconfig' },
    );
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (typeof value === 'string') headers[name.toLowerCase()] = value.trim();
  }
  if (typeof options.auth === 'string') {
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  }
  return {
    server: cluster.server.replace(/\/+$/, ''),
    headers,
    tls: {
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(options.cert === undefined ? {} : { cert: options.cert }),
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(options.servername === undefined ? {} : { servername: options.servername }),
      ...(options.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: options.rejectUnauthorized }),
    },
    proxyUrl: cluster.proxyUrl,
  };
}
