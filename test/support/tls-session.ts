/** TLS sessions offered to another host than they are of, as a hostile client does: by openssl, for Node's client refuses to. */
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyPairPem } from './throwaway-ca.ts';

interface Visit {
  /** In the ClientHello and in the Host header. */
  host: string;
  certificate?: KeyPairPem;
}

export interface Resumption {
  port: number;
  version: 'TLSv1.2' | 'TLSv1.3';
  /** Where the session comes from. */
  from: Visit;
  to: Visit;
}

export interface Resumed {
  reused: boolean;
  status: number;
  /** Everything behind the status line. */
  answer: string;
}

function sClient(args: readonly string[], host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('openssl', ['s_client', ...args], { timeout: 20_000 }, (error, stdout) => {
      // It ends with 1 where the server closes without close_notify; what was answered counts.
      if (error !== null && stdout === '') reject(error);
      else resolve(stdout);
    });
    child.stdin?.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  });
}

/** @throws where openssl is missing */
export async function resume({ port, version, from, to }: Resumption): Promise<Resumed> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-session-'));
  const session = join(directory, 'session');
  const visit = async ({ host, certificate }: Visit, ...more: string[]): Promise<string> => {
    const own = [
      '-connect',
      `127.0.0.1:${port}`,
      '-servername',
      host,
      '-ign_eof',
      version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3',
    ];
    if (certificate === undefined) return sClient([...own, ...more], host);
    const pair = join(directory, 'pair.pem');
    await writeFile(pair, certificate.certPem + certificate.keyPem, { mode: 0o600 });
    return sClient([...own, '-cert', pair, '-key', pair, ...more], host);
  };
  try {
    await visit(from, '-sess_out', session);
    // A server that keeps no sessions gives none.
    const given = await access(session).then(
      () => ['-sess_in', session],
      () => [],
    );
    const said = await visit(to, ...given);
    const [, status = '0', answer = ''] = /^HTTP\/1\.1 (\d+)(.*)/ms.exec(said) ?? [];
    return { reused: /^Reused, /m.test(said), status: Number(status), answer };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
