import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { text } from 'node:stream/consumers';
import { tryLock } from './file-lock.ts';

/** Not in the envtest archive: asking for it never downloads. */
const BUILT = 'kube-controller-manager';

async function script(path: string, ...lines: string[]): Promise<void> {
  await writeFile(path, ['#!/bin/sh', ...lines, ''].join('\n'));
  await chmod(path, 0o755);
}

describe('the binaries of the control plane', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'certbound-test-'));
    await mkdir(join(folder, 'bin'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Asks for the binary in a process of its own, with an empty cache and the PATH that the test made. */
  async function ask(
    environment: Record<string, string> = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const program = `
      const { binary } = await import(${JSON.stringify(import.meta.resolve('./binaries.ts'))});
      process.stdout.write(await binary('${BUILT}').catch((error) => { process.exitCode = 3; return error.message; }));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      env: { HOME: folder, PATH: join(folder, 'bin'), CERTBOUND_CACHE: join(folder, 'cache'), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    return { code: Number(code), stdout, stderr };
  }

  /** Stands in for the Go toolchain: notes each build, takes its time and writes a program that runs. */
  function standInForGo(): Promise<void> {
    return script(
      join(folder, 'bin', 'go'),
      'PATH=/usr/bin:/bin',
      'if [ "$1" = version ]; then echo go version go1.26.8 linux/amd64; exit 0; fi',
      `echo "$*" >> "${folder}/builds"`,
      'mkdir -p "$GOMODCACHE" "$GOCACHE" && echo cached > "$GOMODCACHE/module"',
      'sleep 1',
      'while [ "$1" != -o ]; do shift; done',
      'printf "#!/bin/sh\\nexit 0\\n" > "$2"',
    );
  }

  it('are taken from KUBEBUILDER_ASSETS before anything else', async () => {
    const assets = join(folder, 'assets');
    await mkdir(assets);
    await script(join(assets, BUILT), 'exit 0');
    const { code, stdout } = await ask({ KUBEBUILDER_ASSETS: assets });
    assert.deepEqual([code, stdout], [0, join(assets, BUILT)]);
  });

  it('are built once by two processes side by side, and the build caches are gone afterwards', async () => {
    await standInForGo();
    const [one, two] = await Promise.all([ask(), ask()]);
    assert.deepEqual([one.code, two.code], [0, 0], one.stderr + two.stderr);
    assert.equal(one.stdout, two.stdout);
    const builds = await readFile(join(folder, 'builds'), 'utf8');
    assert.equal(builds.trimEnd().split('\n').length, 1, builds);
    assert.match(builds, /-mod=readonly .*version\.gitVersion=v1\.36\.3/);
    assert.deepEqual(await readdir(join(folder, 'cache')), ['binaries']);

    const later = await ask();
    assert.deepEqual([later.code, later.stdout, later.stderr], [0, one.stdout, ''], 'a later run finds it');
  });

  it('are built again after a build that was killed, whose leavings go', async () => {
    await standInForGo();
    const cache = join(folder, 'cache');
    await mkdir(join(cache, 'work-of-the-dead'), { recursive: true });
    const dead = spawn('true');
    await once(dead, 'exit');
    await writeFile(join(cache, 'binaries.lock'), JSON.stringify({ pid: dead.pid, host: hostname(), token: 'dead' }));
    const { code, stderr } = await ask();
    assert.equal(code, 0, stderr);
    assert.deepEqual(await readdir(cache), ['binaries']);
  });

  it('cannot be had without Go: the error says what to install', async () => {
    const { code, stdout } = await ask();
    assert.equal(code, 3);
    assert.match(stdout, /no go in PATH\. Install Go 1\.26 or later .* or set KUBEBUILDER_ASSETS/);
  });

  it('cannot be had with a Go that fails: the error shows its words, and no half-built binary stays', async () => {
    const refuse = 'if [ "$1" != version ]; then echo "go: no such host" >&2; exit 1; fi; echo go version go1.26.8';
    await script(join(folder, 'bin', 'go'), refuse);
    const { code, stdout } = await ask();
    assert.equal(code, 3);
    assert.match(stdout, /Go module proxy[^]*go: no such host/);
    assert.deepEqual(await readdir(join(folder, 'cache')), []);
  });
});

describe('a file lock', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'certbound-test-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('has one holder among many who ask at once, also where a dead one left it', async () => {
    const path = join(folder, 'lock');
    const dead = spawn('true');
    await once(dead, 'exit');
    await writeFile(path, JSON.stringify({ pid: dead.pid, host: hostname(), token: 'dead' }));
    const answers = await Promise.all(Array.from({ length: 20 }, () => tryLock(path)));
    const held = answers.flatMap((answer) => ('release' in answer ? [answer] : []));
    assert.equal(held.length, 1);
    for (const answer of answers) if (!('release' in answer)) assert.equal(answer.pid, process.pid);
    await held[0]?.release();
    assert.deepEqual(await readdir(folder), []);
  });
});
