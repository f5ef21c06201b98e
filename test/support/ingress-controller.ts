import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { buildIngressModel, type IngressModel, type IngressModelOptions } from './ingress-model.ts';
import { clusterObjects, type ObjectSource } from './ingress-objects.ts';
import { findHaproxy } from './haproxy.ts';
import { createHaproxyTerminator } from './haproxy-terminator.ts';
import { findNginx } from './nginx-binary.ts';
import { createNginxTerminator } from './nginx-terminator.ts';
import { createNodeTerminator } from './node-terminator.ts';
import type { AccessLogEntry, Terminator, TerminatorOptions } from './terminator.ts';
import { createThrowawayCa } from './throwaway-ca.ts';

export interface IngressControllerOptions extends IngressModelOptions {
  /** Where Ingresses, Secrets and Services come from: a cluster, or a list (`objectList`). */
  source: { kubeconfigPath: string } | ObjectSource;
  /** Of loopback. Default 127.0.0.1; another for each replica on the same ports. */
  address?: string;
  /** Default: free ones. */
  httpsPort?: number;
  httpPort?: number;
  /** What ingress-nginx's ConfigMap of `proxy-set-headers` holds. */
  proxySetHeaders?: Readonly<Record<string, string>>;
  /** Its `ssl-reject-handshake`. Default true, which is not the product's. */
  rejectHandshake?: boolean;
  /** Its `ssl-session-cache`. Default true. */
  sessionCache?: boolean;
  /**
   * Milliseconds between the sight of a change and the reload, as slow controllers have them; asked for each reload. What
   * changes in the meantime is in the same reload. Default 0.
   */
  reloadDelayMs?: () => number;
  /** Install nginx from Debian where it is missing and we are root. Default false. */
  installNginx?: boolean;
  /** `nginx`, `haproxy`: fail where there is none. `node`: the stand-in. Default: nginx, or the stand-in with a word about it. */
  terminator?: 'nginx' | 'node' | 'haproxy';
  /** haproxy-ingress' `config-global`: lines of HAProxy's global section. */
  configGlobal?: readonly string[];
  /** Its `config-defaults`: lines of the defaults section. */
  configDefaults?: readonly string[];
}

type TerminatorKind = 'nginx' | 'node' | 'haproxy';

export interface IngressController {
  readonly kind: TerminatorKind;
  readonly address: string;
  readonly httpsPort: number;
  readonly httpPort: number;
  /** What the terminator runs with: nginx.conf, haproxy.cfg. */
  config(): string;
  model(): IngressModel;
  /** How often a changed configuration went live. */
  generation(): number;
  /** Why what the objects ask for is not live, where nginx refused it; the one before goes on, as in the real product. */
  rejected(): Error | undefined;
  /** Resolves once everything that was in the source at the call is live, or was rejected. */
  settled(): Promise<void>;
  accessLog(): Promise<AccessLogEntry[]>;
  stop(): Promise<void>;
}

async function createTerminator(
  options: IngressControllerOptions,
  terminatorOptions: TerminatorOptions,
): Promise<{ kind: TerminatorKind; terminator: Terminator }> {
  if (options.terminator === 'haproxy') {
    const haproxy = await findHaproxy();
    if (haproxy === undefined)
      throw new Error('haproxy is missing: install it, for example with apt-get install haproxy');
    const { configGlobal = [], configDefaults = [] } = options;
    const haproxyOptions = { ...terminatorOptions, configGlobal, configDefaults };
    return { kind: 'haproxy', terminator: await createHaproxyTerminator(haproxy, haproxyOptions) };
  }
  const nginx = options.terminator === 'node' ? undefined : await findNginx({ install: options.installNginx ?? false });
  if (nginx !== undefined) return { kind: 'nginx', terminator: await createNginxTerminator(nginx, terminatorOptions) };
  if (options.terminator === 'nginx')
    throw new Error('nginx is missing: install it, for example with apt-get install nginx-light');
  if (options.terminator === undefined)
    process.stderr.write('nginx is not on PATH: a TLS terminator in Node stands in for it\n');
  return { kind: 'node', terminator: createNodeTerminator(terminatorOptions) };
}

class Controller implements IngressController {
  readonly address: string;
  readonly kind: TerminatorKind;
  readonly httpsPort: number;
  readonly httpPort: number;
  readonly #terminator: Terminator;
  readonly #source: ObjectSource;
  readonly #options: IngressControllerOptions;
  readonly #stopped = new AbortController();
  #model: IngressModel = { hosts: [], secrets: [] };
  #generation = 0;
  #rejected: Error | undefined;
  #waiting: PromiseWithResolvers<void> | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: {
    address: string;
    kind: TerminatorKind;
    ports: { httpsPort: number; httpPort: number };
    terminator: Terminator;
    source: ObjectSource;
    options: IngressControllerOptions;
  }) {
    this.address = parts.address;
    this.kind = parts.kind;
    this.httpsPort = parts.ports.httpsPort;
    this.httpPort = parts.ports.httpPort;
    this.#terminator = parts.terminator;
    this.#source = parts.source;
    this.#options = parts.options;
  }

  /** Everything asked for before a pass begins is answered by that pass; during one, by the next. */
  settled(): Promise<void> {
    if (this.#stopped.signal.aborted) return Promise.reject(new Error('the ingress controller was stopped'));
    const waiting = (this.#waiting ??= Promise.withResolvers());
    this.#running ??= this.#run();
    return waiting.promise;
  }

  async #run(): Promise<void> {
    while (this.#waiting !== undefined) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      try {
        await this.#pass();
        waiting.resolve();
      } catch (error) {
        waiting.reject(error);
      }
    }
    this.#running = undefined;
  }

  async #pass(): Promise<void> {
    const delay = this.#options.reloadDelayMs?.() ?? 0;
    if (delay > 0 && this.#generation > 0) await sleep(delay, undefined, { signal: this.#stopped.signal });
    const model = buildIngressModel(await this.#source.read(this.#options), this.#options);
    try {
      if (await this.#terminator.apply(model)) this.#generation += 1;
      this.#model = model;
      this.#rejected = undefined;
    } catch (error) {
      if (this.#generation === 0) throw error;
      this.#rejected = error instanceof Error ? error : new Error(String(error));
    }
  }

  /** @throws where the first configuration is refused, or the cluster cannot be read */
  async start(): Promise<this> {
    await this.settled();
    this.#source.onChange(() => void this.#follow(), this.#options);
    return this;
  }

  /** Nobody waits for this pass, so a failure to read the cluster is tried again here. */
  async #follow(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const done = await this.settled().then(
        () => true,
        () => false,
      );
      if (done) return;
      await sleep(500, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    }
  }

  config(): string {
    return this.#terminator.configuration();
  }

  model(): IngressModel {
    return this.#model;
  }

  generation(): number {
    return this.#generation;
  }

  rejected(): Error | undefined {
    return this.#rejected;
  }

  accessLog(): Promise<AccessLogEntry[]> {
    return this.#terminator.accessLog();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#source.stop();
    await this.#running?.catch(() => undefined);
    await this.#terminator.stop();
  }
}

/**
 * A small ingress controller: what ingress-nginx would serve for these objects, on a loopback address. It serves when
 * this resolves.
 */
export async function startIngressController(options: IngressControllerOptions): Promise<IngressController> {
  const fake = await createThrowawayCa('Kubernetes Ingress Controller Fake Certificate');
  const ports = {
    httpsPort: options.httpsPort ?? (await freePort()),
    httpPort: options.httpPort ?? (await freePort()),
  };
  const { address = '127.0.0.1' } = options;
  const { kind, terminator } = await createTerminator(options, {
    address,
    ...ports,
    fakeCertificate: { certificate: fake.certPem, key: fake.keyPem },
    ...(options.proxySetHeaders && { proxySetHeaders: options.proxySetHeaders }),
    rejectHandshake: options.rejectHandshake ?? true,
    sessionCache: options.sessionCache ?? true,
  });
  const source = 'kubeconfigPath' in options.source ? clusterObjects(options.source.kubeconfigPath) : options.source;
  const controller = new Controller({ kind, address, ports, terminator, source, options });
  try {
    return await controller.start();
  } catch (error) {
    await controller.stop();
    throw error;
  }
}
