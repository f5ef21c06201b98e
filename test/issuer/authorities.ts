import { createCa, type Ca, type CaRequest } from '../../src/x509/certificate.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { openssl, inDirectory } from '../x509/openssl.ts';

export const DAY_MS = 24 * 3_600_000;

/** A self-signed CA of a platform team. */
export function rootCa(dn: string, changes: Partial<CaRequest> = {}): Promise<Ca> {
  return createCa({
    dn: parseDn(dn),
    algorithm: 'ECDSA',
    size: 256,
    now: new Date(),
    duration: 365 * DAY_MS,
    ...changes,
  });
}

export interface CaWithChain extends Ca {
  rootPem: string;
}

/** A CA below a root, both made by openssl. */
export async function intermediateCa(): Promise<CaWithChain> {
  const script = `
    set -e
    key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
    key root.key; key sub.key
    openssl req -x509 -new -key root.key -out root.pem -days 400 -subj '/O=Example/CN=Root' \\
      -addext 'keyUsage=critical,keyCertSign,cRLSign'
    openssl req -new -key sub.key -out sub.csr -subj '/O=Example/CN=Clients'
    openssl x509 -req -in sub.csr -CA root.pem -CAkey root.key -CAcreateserial -days 200 -out sub.pem -extfile extensions 2>/dev/null
    cat sub.key; echo =====; cat sub.pem; echo =====; cat root.pem
  `;
  const extensions =
    'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n';
  const output = await inDirectory({ extensions, script }, 'bash', ['script']);
  const [privateKeyPem = '', certificatePem = '', rootPem = ''] = output.split('=====\n');
  return { privateKeyPem, certificatePem, rootPem };
}

export async function sha256Of(pem: string): Promise<string> {
  const answer = await openssl(['x509', '-in', 'ca.pem', '-noout', '-fingerprint', '-sha256'], { 'ca.pem': pem });
  return (answer.split('=')[1] ?? '').trim().replaceAll(':', '').toLowerCase();
}
