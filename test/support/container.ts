/** A container of an image, as a kubelet has it made for a Pod of the chart; runc runs it. */
import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { onOwnExit } from './child.ts';
import type { BuiltImage } from './image.ts';

const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

/** What the kubelet tells the runtime of it; a field that is not known here would be one that is not tested. */
export const podSpec = z.object({
  serviceAccountName: z.string(),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.number(),
    runAsGroup: z.number(),
    fsGroup: z.number(),
    // runc has none of its own.
    seccompProfile: z.unknown(),
  }),
  containers: z.tuple([
    z.looseObject({
      args: z.array(z.string()),
      command: z.undefined().optional(),
      env: z.array(
        z.union([
          z.strictObject({ name: z.string(), value: z.string() }),
          z.strictObject({
            name: z.string(),
            valueFrom: z.strictObject({ fieldRef: z.strictObject({ fieldPath: z.literal('metadata.name') }) }),
          }),
        ]),
      ),
      resources: z.object({ limits: z.object({ memory: z.string().regex(/^\d+Mi$/) }) }),
      securityContext: z.strictObject({
        allowPrivilegeEscalation: z.literal(false),
        readOnlyRootFilesystem: z.literal(true),
        capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
      }),
      volumeMounts: z.tuple([
        z.object({ mountPath: z.literal(SERVICE_ACCOUNT_FOLDER), readOnly: z.literal(true), name: z.string() }),
      ]),
    }),
  ]),
});
export type PodSpec = z.infer<typeof podSpec>;

export interface ContainerOptions {
  image: BuiltImage;
  pod: PodSpec;
  podName: string;
  /** Besides what the Pod and the image say. */
  environment: Readonly<Record<string, string>>;
  /** The folder that is mounted as the service account's. */
  serviceAccount: string;
  /** A new folder of the container's own. */
  folder: string;
}

export interface Container {
  /** Runs it in the foreground: signals are passed on, its exit code is the command's. */
  readonly command: { file: string; args: readonly string[] };
  /** Of its first process, as this machine counts. */
  pid(): Promise<number>;
  remove(): Promise<void>;
}

function runtimeConfig({ image, pod, podName, environment, serviceAccount }: ContainerOptions): unknown {
  const [container] = pod.containers;
  const { runAsUser: uid, runAsGroup: gid, fsGroup } = pod.securityContext;
  const env = container.env.map((each) => `${each.name}=${'value' in each ? each.value : podName}`);
  const own = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  // Of two of a name the first counts for getenv(3): so there are no two.
  const variables = new Map([...image.config.Env, ...env, ...own].map((each) => [each.split('=')[0], each]));
  return {
    ociVersion: '1.0.2',
    hostname: podName,
    root: { path: image.root, readonly: container.securityContext.readOnlyRootFilesystem },
    process: {
      user: { uid, gid, additionalGids: [fsGroup] },
      args: [...image.config.Entrypoint, ...container.args],
      env: [...variables.values()],
      cwd: image.config.WorkingDir,
      capabilities: {},
      noNewPrivileges: !container.securityContext.allowPrivilegeEscalation,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755'] },
      { destination: '/sys', type: 'none', source: '/sys', options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'] },
      { destination: SERVICE_ACCOUNT_FOLDER, type: 'bind', source: serviceAccount, options: ['bind', 'ro'] },
    ],
    linux: {
      // The network is this machine's, where the API server is.
      namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
      resources: { memory: { limit: Number.parseInt(container.resources.limits.memory, 10) * 1024 * 1024 } },
    },
  };
}

export async function createContainer(options: ContainerOptions): Promise<Container> {
  const { folder } = options;
  const id = `certbound-${randomUUID()}`;
  const state = ['--root', join(folder, 'runc')];
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(runtimeConfig(options)));
  const deletion = [...state, 'delete', '--force', id];
  // It does not die with runc.
  const interrupted = onOwnExit(() => execFileSync('runc', deletion));
  return {
    command: { file: 'runc', args: [...state, 'run', '--bundle', folder, id] },
    async pid() {
      const { stdout } = await promisify(execFile)('runc', [...state, 'state', id]);
      return z.object({ pid: z.int().positive() }).parse(JSON.parse(stdout)).pid;
    },
    async remove() {
      interrupted.cancel();
      await promisify(execFile)('runc', deletion);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
