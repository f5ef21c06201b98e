/** The real openssl, to read what we wrote. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a program in a directory that holds the given files; standard output and error together. Throws when it fails. */
export async function inDirectory(
  files: Record<string, string | Uint8Array>,
  program: string,
  args: readonly string[],
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'x509-'));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
    const { stdout, stderr } = await run(program, [...args], { cwd: directory, timeout: 60_000 });
    return stdout + stderr;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export function openssl(args: readonly string[], files: Record<string, string | Uint8Array> = {}): Promise<string> {
  return inDirectory(files, 'openssl', args);
}
