import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startChild } from './child.ts';

export interface GoRecipe {
  /** The folder that holds go.mod and go.sum. */
  moduleDir: string;
  package: string;
  ldflags: string;
}

/** `-modcacherw`: the module cache goes away after the build, and by default its files are read-only. */
const FLAGS = ['-mod=readonly', '-modcacherw', '-trimpath', '-buildvcs=false'] as const;

/** All that decides what is built, apart from the sources. */
export function buildFlags(recipe: GoRecipe): readonly string[] {
  return [...FLAGS, `-ldflags=${recipe.ldflags}`];
}

/** Says why nothing can be built here, or undefined where Go is installed. */
export async function whyNoGo(): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('go', ['version'], { env: { ...process.env, GOTOOLCHAIN: 'local' } });
    const version = /go1\.(\d+)/.exec(stdout);
    // From 1.21 on, go fetches the toolchain that go.mod asks for.
    if (version !== null && Number(version[1]) < 21) return `${stdout.trim()} is too old`;
    return undefined;
  } catch {
    return 'there is no go in PATH';
  }
}

const temporaryIn = (workDir: string): string => join(workDir, 'tmp');

function environment(workDir: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    GOCACHE: join(workDir, 'gocache'),
    GOMODCACHE: join(workDir, 'gomodcache'),
    GOTMPDIR: temporaryIn(workDir),
    GOFLAGS: '-modcacherw',
    GOWORK: 'off',
    GOOS: '',
    GOARCH: '',
    CGO_ENABLED: '0',
  };
}

/** Where a module's files are, after a build with the same `workDir`. */
export async function moduleFolder(moduleDir: string, module: string, workDir: string): Promise<string> {
  const args = ['list', '-m', '-mod=readonly', '-f', '{{.Dir}}', module];
  const { stdout } = await promisify(execFile)('go', args, { cwd: moduleDir, env: environment(workDir) });
  return stdout.trim();
}

/**
 * Builds one binary at `output`. The caches are in `workDir`: several builds with the same `workDir` share them, and
 * the user's own are neither read nor filled.
 */
export async function goBuild(recipe: GoRecipe, output: string, workDir: string): Promise<void> {
  await mkdir(temporaryIn(workDir), { recursive: true });
  const log = `${output}.log`;
  const child = await startChild({
    command: 'go',
    args: ['build', ...buildFlags(recipe), '-o', output, recipe.package],
    cwd: recipe.moduleDir,
    logFile: log,
    env: environment(workDir),
  });
  const code = await child.exited;
  if (code !== 0) throw new Error(`go build ${recipe.package} ended with ${code}:\n${await child.tail()}`);
}
