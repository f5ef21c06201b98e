import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EnvHttpProxyAgent, fetch } from 'undici';

const VERSION = 'v1.36.2';
const RELEASES = 'https://github.com/kubernetes-sigs/controller-tools/releases/download';

/** SHA-512, as the project lists them in envtest-releases.yaml of kubernetes-sigs/controller-tools. */
const SHA512: Readonly<Record<string, string>> = {
  'linux-amd64':
    'ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dcf30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08',
  'linux-arm64':
    '2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae28181afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac',
  'darwin-amd64':
    'b4fe9f973cd1992e3880f8b230ed32c0c243b83371591e3e3315f4404df2cdbef8ee94eeb9bb245b7e5feb987d5c4a76c43e0877654ab73f00d7bbc2b9984514',
  'darwin-arm64':
    '9278f9e5af556b2f1f2d139769c1f0d717c7b4426917fdebdba898bcb725a916e4910d6160886194ff9be9589ea7c5c32c2b8ae0754703874b7c8ba8ddfc41ce',
};

export const ARCHIVE_BINARIES: ReadonlySet<string> = new Set(['etcd', 'kube-apiserver', 'kubectl']);

/** Without a way out, the refusal must come fast: building is the other way. */
const CONNECT_MS = 3000;
const HEADERS_MS = 10_000;
const WHOLE_MS = 600_000;

/** The checksum of the archive for a platform (`linux-amd64`), or undefined where none is published. */
export function archiveChecksum(platform: string): string | undefined {
  return SHA512[platform];
}

/**
 * Downloads the official envtest archive, compares its checksum and unpacks it. Returns the folder that holds
 * the binaries. Fails within seconds where the network does not lead there.
 */
export async function fetchEnvtestArchive(platform: string, workDir: string): Promise<string> {
  const expected = archiveChecksum(platform);
  if (expected === undefined) throw new Error(`there is no envtest archive for ${platform}`);
  const name = `envtest-${VERSION}-${platform}.tar.gz`;
  const dispatcher = new EnvHttpProxyAgent({
    connect: { timeout: CONNECT_MS },
    headersTimeout: HEADERS_MS,
    bodyTimeout: HEADERS_MS,
  });
  let archive: Buffer;
  try {
    const response = await fetch(`${RELEASES}/envtest-${VERSION}/${name}`, {
      dispatcher,
      signal: AbortSignal.timeout(WHOLE_MS),
    });
    if (!response.ok) throw new Error(`${response.url} answers ${response.status}`);
    archive = Buffer.from(await response.arrayBuffer());
  } finally {
    await dispatcher.destroy();
  }
  if (createHash('sha512').update(archive).digest('hex') !== expected) {
    throw new Error(`${name} does not have the SHA-512 that is pinned for it; it is not used`);
  }
  const unpacked = join(workDir, 'envtest');
  await mkdir(unpacked, { recursive: true });
  await writeFile(join(workDir, name), archive);
  await promisify(execFile)('tar', ['-xzf', join(workDir, name), '--strip-components=2', '-C', unpacked]);
  return unpacked;
}
