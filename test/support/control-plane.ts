import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { type AuditEvent, AuditLog, type AuditStage } from './audit-log.ts';
import { binaries, binary } from './binaries.ts';
import { type Child, onOwnExit, startChild } from './child.ts';
import {
  apiServerArgs,
  type ControlPlaneFiles,
  controllerManagerArgs,
  etcdArgs,
  kubeconfigOf,
  writeControlPlaneFiles,
} from './control-plane-files.ts';
import { freePort } from './free-port.ts';

export interface ControlPlaneOptions {
  /**
   * Also run namespaces, garbage collection, service accounts, ClusterRole aggregation (`view`, `edit`, `admin` are empty without it) and quota.
   * It takes up to 45 s to notice a CRD that comes later, and until then collects no dependants of its objects: name
   * yours in `crds`. Default false.
   */
  controllerManager?: boolean;
  /** Files or folders of CustomResourceDefinitions, established before the controllers start. */
  crds?: readonly string[];
  /** The processes live on when this one exits, and `dir` stays. Default false. */
  keep?: boolean;
  /** Where keys, data and logs go; by default a new temporary folder, deleted by `stop`. */
  dir?: string;
}

export interface KubectlResult {
  stdout: string;
  stderr: string;
  code: number;
}

export interface ControlPlane {
  /** https://127.0.0.1:port */
  readonly url: string;
  readonly dir: string;
  readonly caPem: string;
  /** Of an admin (group system:masters). */
  readonly kubeconfig: string;
  readonly kubeconfigPath: string;
  /** The processes that run now. */
  pids(): number[];
  /**
   * Requests in the audit log at `stage` (default ResponseComplete; a watch that is still open is there only as
   * ResponseStarted). A request is logged just after its response was sent: wait for what you count.
   */
  auditEvents(stage?: AuditStage): Promise<AuditEvent[]>;
  /** The path of a kubeconfig whose client certificate names this user; it may do what RBAC grants it. */
  userKubeconfig(user: { name: string; groups?: readonly string[] }): Promise<string>;
  /** Ends the API server, and with it every open watch; etcd and the controllers keep running. */
  stopApiServer(): Promise<void>;
  /** Starts it again on the same port, and waits until it is ready. */
  startApiServer(): Promise<void>;
  /** Kills etcd; the API server goes on without its store. */
  stopEtcd(): Promise<void>;
  /** Starts it again on its data and its port, and waits until the API server is ready. */
  startEtcd(): Promise<void>;
  /** As admin, with the result whatever it is. */
  kubectl(...args: readonly string[]): Promise<KubectlResult>;
  stop(): Promise<void>;
}

const READY_MS = 60_000;
const POLL_MS = 50;
const REQUEST_MS = 5000;
/** An API server with open watches drains them for a minute; etcd holds whatever it has answered. */
const STOP_GRACE_MS = 2000;
const KUBECTL_MS = 120_000;
const ATTEMPTS = 3;

interface Processes {
  etcd?: Child;
  apiServer?: Child;
  controllerManager?: Child;
}

class Plane implements ControlPlane {
  readonly url: string;
  readonly dir: string;
  readonly caPem: string;
  readonly kubeconfig: string;
  readonly kubeconfigPath: string;
  readonly #files: ControlPlaneFiles;
  readonly #options: ControlPlaneOptions;
  readonly #ports: { apiServer: number; etcd: number };
  readonly #auditLog: AuditLog;
  readonly #agent: Agent;
  readonly #processes: Processes = {};
  #users = 0;
  #abandoned: { cancel(): void } | undefined;

  constructor(files: ControlPlaneFiles, options: ControlPlaneOptions, ports: { apiServer: number; etcd: number }) {
    this.#files = files;
    this.#options = options;
    this.#ports = ports;
    this.url = `https://127.0.0.1:${ports.apiServer}`;
    this.dir = files.dir;
    this.caPem = files.ca.certPem;
    this.kubeconfig = kubeconfigOf(this.url, this.caPem, 'admin', files.admin);
    this.kubeconfigPath = files.path('admin.kubeconfig');
    this.#auditLog = new AuditLog(files.path('audit.log'));
    this.#agent = new Agent({
      connect: { ca: this.caPem, cert: files.admin.certPem, key: files.admin.keyPem },
    });
    if (options.keep !== true && options.dir === undefined) {
      this.#abandoned = onOwnExit(() => rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 }));
    }
  }

  async start(): Promise<void> {
    const managerConfig = kubeconfigOf(
      this.url,
      this.caPem,
      'control-plane-controllers',
      this.#files.controllerManager,
    );
    const managerConfigPath = this.#files.path('controller-manager.kubeconfig');
    await Promise.all([
      writeFile(this.kubeconfigPath, this.kubeconfig, { mode: 0o600 }),
      writeFile(managerConfigPath, managerConfig, { mode: 0o600 }),
    ]);
    // Side by side: the API server waits for its etcd by itself.
    await this.#spawnEtcd();
    await this.startApiServer();
    await this.#establish(this.#options.crds ?? []);
    if (this.#options.controllerManager !== true) return;
    const args = controllerManagerArgs(this.#files, managerConfigPath);
    this.#processes.controllerManager = await this.#spawn('kube-controller-manager', args);
    // Made by one of its controllers: from now on they work.
    await this.#until('/api/v1/namespaces/default/serviceaccounts/default');
  }

  pids(): number[] {
    return this.#children()
      .filter((child) => child.running())
      .map((child) => child.pid);
  }

  async auditEvents(stage: AuditStage = 'ResponseComplete'): Promise<AuditEvent[]> {
    return (await this.#auditLog.events()).filter((event) => event.stage === stage);
  }

  async userKubeconfig(user: { name: string; groups?: readonly string[] }): Promise<string> {
    const credentials = await this.#files.ca.issue({ cn: user.name, o: user.groups ?? [], clientAuth: true });
    const path = this.#files.path(`user-${++this.#users}.kubeconfig`);
    await writeFile(path, kubeconfigOf(this.url, this.caPem, user.name, credentials), { mode: 0o600 });
    return path;
  }

  async stopApiServer(): Promise<void> {
    await this.#processes.apiServer?.end(STOP_GRACE_MS);
  }

  async startApiServer(): Promise<void> {
    const args = apiServerArgs(this.#files, this.#ports.apiServer, this.#ports.etcd);
    this.#processes.apiServer = await this.#spawn('kube-apiserver', args);
    await this.#until('/readyz');
    await this.#until('/api/v1/namespaces/default');
  }

  async stopEtcd(): Promise<void> {
    await this.#processes.etcd?.end(STOP_GRACE_MS);
  }

  async startEtcd(): Promise<void> {
    await this.#spawnEtcd();
    await this.#until('/readyz');
  }

  async kubectl(...args: readonly string[]): Promise<KubectlResult> {
    const command = await binary('kubectl');
    const env = { ...process.env, KUBECONFIG: this.kubeconfigPath, KUBECACHEDIR: this.#files.path('kubectl-cache') };
    return new Promise((done) => {
      const options = { env, timeout: KUBECTL_MS, maxBuffer: 256 * 1024 * 1024 };
      const child = execFile(command, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        done({ stdout, stderr: stderr === '' && error !== null ? error.message : stderr, code });
      });
      child.stdin?.end();
    });
  }

  async stop(): Promise<void> {
    await this.endProcesses();
    this.#abandoned?.cancel();
    if (this.#options.keep !== true && this.#options.dir === undefined) {
      await rm(this.dir, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  async endProcesses(): Promise<void> {
    const { etcd, apiServer, controllerManager } = this.#processes;
    await Promise.all([controllerManager?.end(STOP_GRACE_MS), apiServer?.end(STOP_GRACE_MS)]);
    await etcd?.end(STOP_GRACE_MS);
    await this.#agent.destroy();
  }

  async #establish(crds: readonly string[]): Promise<void> {
    if (crds.length === 0) return;
    const files = crds.map((path) => `--filename=${path}`);
    for (const args of [
      ['create', ...files],
      ['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all'],
    ]) {
      const { code, stderr } = await this.kubectl(...args);
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    }
  }

  async #spawnEtcd(): Promise<void> {
    this.#processes.etcd = await this.#spawn('etcd', etcdArgs(this.#files, this.#ports.etcd));
  }

  #children(): Child[] {
    const { etcd, apiServer, controllerManager } = this.#processes;
    return [etcd, apiServer, controllerManager].filter((child) => child !== undefined);
  }

  async #spawn(name: 'etcd' | 'kube-apiserver' | 'kube-controller-manager', args: readonly string[]): Promise<Child> {
    return startChild({
      command: await binary(name),
      args,
      logFile: this.#files.path(`${name}.log`),
      cwd: this.dir,
      // Nothing of ours: ETCD_* variables, for one, would be read as flags. They live for minutes: memory is cheaper
      // than collecting garbage, an eighth of an API server's work otherwise.
      env: { PATH: process.env['PATH'], HOME: this.dir, TMPDIR: tmpdir(), GOGC: '400' },
      outlive: this.#options.keep === true,
    });
  }

  /** Waits until the API server answers 200; fails as soon as a process has ended. */
  async #until(path: string): Promise<void> {
    const deadline = performance.now() + READY_MS;
    let last = 'no answer yet';
    while (performance.now() < deadline) {
      const ended = this.#children().find((child) => !child.running());
      if (ended !== undefined) throw new Error(`${ended.logFile} ended:\n${await ended.tail()}`);
      try {
        const signal = AbortSignal.timeout(REQUEST_MS);
        const response = await request(`${this.url}${path}`, { dispatcher: this.#agent, signal });
        last = `${response.statusCode} ${await response.body.text()}`;
        if (response.statusCode === 200) return;
      } catch (error) {
        last = error instanceof Error ? error.message : String(error);
      }
      await sleep(POLL_MS);
    }
    const tails = await Promise.all(
      this.#children().map(async (child) => `${child.logFile}:\n${await child.tail(15)}`),
    );
    throw new Error(`${path} is not 200 after ${READY_MS / 1000} s (${last}).\n${tails.join('\n')}`);
  }
}

/**
 * Starts etcd and kube-apiserver, and kube-controller-manager where asked, on free ports of 127.0.0.1 with keys and
 * data of their own. Returns once the API server is ready and the default namespace exists. Every process is ended by
 * `stop`, or when this process ends. Fails with the tail of the log of what did not start.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  // All of them, whichever are started: built one by one, each would compile most of Kubernetes again.
  await binaries(['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl']);
  const dir = options.dir === undefined ? await mkdtemp(join(tmpdir(), 'certbound-')) : resolve(options.dir);
  const files = await writeControlPlaneFiles(dir);
  for (let attempt = 1; ; attempt++) {
    await rm(files.path('etcd'), { recursive: true, force: true });
    const plane = new Plane(files, options, { apiServer: await freePort(), etcd: await freePort() });
    try {
      await plane.start();
      return plane;
    } catch (error) {
      // Another process took a port between our look and the bind.
      const again = attempt < ATTEMPTS && error instanceof Error && error.message.includes('address already in use');
      if (!again) {
        await plane.stop();
        throw error;
      }
      await plane.endProcesses();
    }
  }
}
