import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { access, chmod, constants, cp, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onOwnExit } from './child.ts';
import { ARCHIVE_BINARIES, archiveChecksum, fetchEnvtestArchive } from './envtest-archive.ts';
import { tryLock } from './file-lock.ts';
import { buildFlags, goBuild, type GoRecipe, moduleFolder, whyNoGo } from './go-build.ts';
import { withProgress } from './progress.ts';

const NAMES = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kubectl',
  'helm',
  'kubeconform',
  'cert-manager',
  'envoy-gateway',
  'traefik',
  'contour',
] as const;
export type BinaryName = (typeof NAMES)[number];

const TOOLS = join(import.meta.dirname, '..', '..', 'hack', 'tools');
const POLL_MS = 250;

/** `linux-amd64` and the like, in Go's words. */
function platform(): string {
  return `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`;
}

/** Where what was built or fetched stays: `CERTBOUND_CACHE`, else the user's cache folder. */
export function cacheFolder(): string {
  const { CERTBOUND_CACHE, XDG_CACHE_HOME } = process.env;
  if (CERTBOUND_CACHE) return CERTBOUND_CACHE;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'certbound');
  return join(homedir(), process.platform === 'darwin' ? 'Library/Caches' : '.cache', 'certbound');
}

/** Without these, Kubernetes binaries take themselves for v0.0.0, and clients that look at /version are misled. */
function kubernetesLdflags(goMod: string): string {
  const version = /^(?:require )?\s*k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)\b/m.exec(goMod);
  if (version === null) throw new Error('hack/tools/kubernetes/go.mod does not name a version of k8s.io/kubernetes');
  const values = {
    gitVersion: version[1],
    gitMajor: version[2],
    gitMinor: version[3],
    gitTreeState: 'archive',
    gitCommit: '',
  };
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  const settings = packages.flatMap((path) =>
    Object.entries(values).map(([name, value]) => `-X ${path}.${name}=${value}`),
  );
  return ['-s -w', ...settings].join(' ');
}

interface Recipe extends GoRecipe {
  /** Where the binary is once it was built or fetched by this very recipe. */
  path: string;
}

const stripped = () => '-s -w';

interface Source {
  /** In hack/tools. */
  module: string;
  package: string;
  ldflags(goMod: string): string;
  /** Folders or files of modules that are kept beside the binary, each under its own last name. */
  folder?: Folder | readonly Folder[];
}

/** Or a file. */
interface Folder {
  module: string;
  path: string;
}

function sourceOf(name: BinaryName): Source {
  switch (name) {
    case 'etcd':
      return { module: 'etcd', package: 'go.etcd.io/etcd/server/v3', ldflags: stripped };
    case 'helm':
      return { module: 'helm', package: 'helm.sh/helm/v4/cmd/helm', ldflags: stripped };
    case 'kubeconform':
      return { module: 'kubeconform', package: 'github.com/yannh/kubeconform/cmd/kubeconform', ldflags: stripped };
    case 'cert-manager': {
      const folder = { module: 'github.com/cert-manager/cert-manager', path: 'deploy/crds' };
      return { module: 'cert-manager', package: '.', ldflags: stripped, folder };
    }
    case 'envoy-gateway': {
      const folder = [
        { module: 'sigs.k8s.io/gateway-api', path: 'config/crd/standard' },
        { module: 'github.com/envoyproxy/gateway', path: 'charts/gateway-crds-helm/templates/generated' },
      ];
      const command = 'github.com/envoyproxy/gateway/cmd/envoy-gateway';
      return { module: 'envoy-gateway', package: command, ldflags: stripped, folder };
    }
    case 'traefik': {
      const folder = { module: 'github.com/traefik/traefik/v3', path: 'docs/content/reference/dynamic-configuration' };
      return { module: 'traefik', package: 'github.com/traefik/traefik/v3/cmd/traefik', ldflags: stripped, folder };
    }
    case 'contour': {
      const folder = { module: 'github.com/projectcontour/contour', path: 'examples/contour/01-crds.yaml' };
      return { module: 'contour', package: 'github.com/projectcontour/contour/cmd/contour', ldflags: stripped, folder };
    }
    default:
      return { module: 'kubernetes', package: `k8s.io/kubernetes/cmd/${name}`, ldflags: kubernetesLdflags };
  }
}

async function recipeOf(name: BinaryName): Promise<Recipe> {
  const source = sourceOf(name);
  const moduleDir = join(TOOLS, source.module);
  const [goMod, goSum] = await Promise.all([
    readFile(join(moduleDir, 'go.mod'), 'utf8'),
    readFile(join(moduleDir, 'go.sum'), 'utf8'),
  ]);
  const recipe: GoRecipe = { moduleDir, package: source.package, ldflags: source.ldflags(goMod) };
  const own = source.package === '.' ? [await readFile(join(moduleDir, 'main.go'), 'utf8')] : [];
  const archive = ARCHIVE_BINARIES.has(name) ? archiveChecksum(platform()) : undefined;
  const hash = createHash('sha256')
    .update(JSON.stringify([goMod, goSum, buildFlags(recipe), platform(), archive, ...own]))
    .digest('hex');
  return { ...recipe, path: join(cacheFolder(), 'binaries', hash.slice(0, 16), name) };
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The binary if it is there: in KUBEBUILDER_ASSETS, else in the cache. */
async function present(name: BinaryName): Promise<string | undefined> {
  const { KUBEBUILDER_ASSETS } = process.env;
  if (KUBEBUILDER_ASSETS) {
    const path = join(KUBEBUILDER_ASSETS, name);
    if (await isExecutable(path)) return path;
  }
  const { path } = await recipeOf(name);
  return (await isExecutable(path)) ? path : undefined;
}

async function install(from: string, to: string): Promise<void> {
  await mkdir(join(to, '..'), { recursive: true });
  await chmod(from, 0o755);
  await rename(from, to);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** Fills the cache; the caller holds the lock. Fetches where that is quick, builds the rest. */
async function provide(names: readonly BinaryName[], workDir: string): Promise<void> {
  const missing = new Set(names);
  const fetchable = names.filter((name) => ARCHIVE_BINARIES.has(name));
  let whyNoArchive = 'the envtest archive does not hold it';
  if (fetchable.length > 0) {
    try {
      const folder = await withProgress(`fetching ${fetchable.join(', ')} (envtest archive)`, () =>
        fetchEnvtestArchive(platform(), workDir),
      );
      // It is one download: what it holds beside is kept for whoever asks next.
      for (const name of NAMES) {
        if (!ARCHIVE_BINARIES.has(name) || (await present(name)) !== undefined) continue;
        await install(join(folder, name), (await recipeOf(name)).path);
        missing.delete(name);
      }
    } catch (error) {
      whyNoArchive = `the envtest archive cannot be had (${describe(error)})`;
    }
  }
  if (missing.size === 0) return;
  const list = [...missing].join(', ');
  const noGo = await whyNoGo();
  if (noGo !== undefined) {
    throw new Error(
      `${list}: ${whyNoArchive}, and it cannot be built because ${noGo}. Install Go 1.26 or later (https://go.dev/dl), ` +
        'or set KUBEBUILDER_ASSETS to a folder that holds the binaries.',
    );
  }
  process.stderr.write(`${list}: ${whyNoArchive}; building from the Go modules in hack/tools, once (some minutes)\n`);
  for (const name of missing) {
    const recipe = await recipeOf(name);
    const output = join(workDir, name);
    await withProgress(`building ${name}`, () => goBuild(recipe, output, workDir)).catch((error: unknown) => {
      throw new Error(
        `${name} could not be built; this needs Go 1.26 or later and a Go module proxy (GOPROXY), or else set ` +
          `KUBEBUILDER_ASSETS to a folder that holds the binaries.\n${describe(error)}`,
        { cause: error },
      );
    });
    await keepFolders(name, recipe, workDir);
    await install(output, recipe.path);
  }
}

/** Before the binary itself: whose path is there, all of it is there. */
async function keepFolders(name: BinaryName, { moduleDir, path }: Recipe, workDir: string): Promise<void> {
  for (const folder of [sourceOf(name).folder ?? []].flat()) {
    const from = join(await moduleFolder(moduleDir, folder.module, workDir), folder.path);
    const to = join(path, '..', basename(folder.path));
    await rm(to, { recursive: true, force: true });
    await cp(from, to, { recursive: true });
  }
}

/** Under the lock nobody else builds: any work folder that is there was left by a process that was killed. */
async function inWorkFolder(cache: string, work: (folder: string) => Promise<void>): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (entry.startsWith('work-')) await rm(join(cache, entry), { recursive: true, force: true });
  }
  const folder = join(cache, `work-${randomUUID()}`);
  await mkdir(folder);
  const interrupted = onOwnExit(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  try {
    await work(folder);
  } finally {
    interrupted.cancel();
    await withProgress('deleting the build caches', () => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  }
}

/**
 * Paths of the control plane's binaries and of the tools that check the chart: from `KUBEBUILDER_ASSETS`, else the
 * cache folder, else the official envtest archive, else built from the pinned modules in hack/tools. Nothing is built
 * twice: processes side by side wait for the one that builds. Says on stderr what takes long. Fails with a message that
 * says what to install.
 */
export async function binaries<Name extends BinaryName>(names: readonly Name[]): Promise<Record<Name, string>>;
export async function binaries(names: readonly BinaryName[]): Promise<Partial<Record<BinaryName, string>>> {
  const cache = cacheFolder();
  let told = false;
  for (;;) {
    const found = await Promise.all(names.map(async (name) => [name, await present(name)] as const));
    const missing = found.filter(([, path]) => path === undefined).map(([name]) => name);
    if (missing.length === 0) return Object.fromEntries(found);
    await mkdir(cache, { recursive: true });
    const lock = await tryLock(join(cache, 'binaries.lock'));
    if ('release' in lock) {
      try {
        // Whoever had the lock before may have provided some.
        const still = await Promise.all(missing.map(async (name) => ((await present(name)) ? [] : [name])));
        if (still.flat().length > 0) await inWorkFolder(cache, (folder) => provide(still.flat(), folder));
      } finally {
        await lock.release();
      }
    } else {
      if (!told) process.stderr.write(`waiting for process ${lock.pid}, which provides ${missing.join(', ')}\n`);
      told = true;
      await sleep(POLL_MS);
    }
  }
}

/** The path of one binary; see {@link binaries}. */
export async function binary(name: BinaryName): Promise<string> {
  return (await binaries([name]))[name];
}

/** cert-manager's controllers with the CRDs of the same version: a peer to measure against. */
export async function certManager(): Promise<{ command: string; crds: string }> {
  const command = await binary('cert-manager');
  return { command, crds: join(dirname(command), 'crds') };
}

/** Envoy Gateway with the CRDs of the same version, and those of the Gateway API that it is made for (standard channel). */
export async function envoyGatewayBinary(): Promise<{ command: string; crds: string; gatewayApiCrds: string }> {
  const command = await binary('envoy-gateway');
  return {
    command,
    crds: join(dirname(command), 'generated'),
    gatewayApiCrds: join(dirname(command), 'standard'),
  };
}

/** Traefik with the folder that holds the CRDs of the same version, among other files. */
export async function traefikBinary(): Promise<{ command: string; crds: string }> {
  const command = await binary('traefik');
  return { command, crds: join(dirname(command), 'dynamic-configuration') };
}
