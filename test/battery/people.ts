/** Who attacks, with which certificates, and whose name they want. */
import { caBundle, MAXIMUM_BUNDLE_NAMES } from '../../src/x509/bundle.ts';
import {
  type ClientCertificate,
  type ClientCertificateRequest,
  createClientCertificate,
} from '../support/client-certificate.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';

const VICTIM = 'CN=victim,O=acme';

export interface People {
  serverCa: KeyPairPem & Pick<ThrowawayCa, 'issue'>;
  /** Of the server whose clients `victim` and `client` are. */
  clientCa: KeyPairPem;
  /** Of another AuthorizationServer, on another host of the same terminator. */
  otherCa: KeyPairPem;
  /** CAs with names of just what a bundle may hold, the clients' among them. */
  fullBundle: string;
  certificates: {
    victim: ClientCertificate;
    /** The attacker, where it is a client itself. */
    client: KeyPairPem;
    /** With the victim's name, and counting nowhere, or not at the victim's server. */
    ofOtherCa: KeyPairPem;
    ofForeignCa: KeyPairPem;
    selfSigned: KeyPairPem;
    expired: KeyPairPem;
    ofClient: KeyPairPem;
    serverOnly: KeyPairPem;
    /** Its own issuer, with CA:TRUE; and what it issues. */
    ownCa: KeyPairPem;
    ofOwnCa: KeyPairPem;
    /** By the size of its certificate. */
    large: KeyPairPem;
    tooLarge: KeyPairPem;
    huge: KeyPairPem;
  };
}

/** About so many octets of DER. */
function sized(octets: number, ca: KeyPairPem): Promise<ClientCertificate> {
  const extensions = [{ oid: '2.999.1', value: new Uint8Array(octets - 500).fill(0x41) }];
  return createClientCertificate({ subject: 'CN=sized', ca, extensions });
}

/** Few CAs with long names fill a bundle as many with short ones do, and are made in less time. */
async function fullBundle(clientCa: KeyPairPem): Promise<string> {
  const name = (n: number) => `CA ${n} ${'x'.repeat(190)}`;
  // A DN with one attribute of that length has 17 octets beside its text, and 2 before it in the handshake.
  const count = Math.floor((MAXIMUM_BUNDLE_NAMES - 100) / (name(100).length + 19));
  const others = await Promise.all(Array.from({ length: count }, (_, n) => createThrowawayCa(name(n))));
  const pems = [clientCa, ...others].map(({ certPem }) => certPem);
  const { namesSize } = caBundle(pems);
  if (namesSize < 0.98 * MAXIMUM_BUNDLE_NAMES) throw new Error(`${namesSize} octets of names are no full bundle`);
  return pems.join('');
}

async function createPeople(): Promise<People> {
  const [serverCa, clientCa, otherCa, foreignCa, ownCa] = await Promise.all(
    (['Server CA', 'Client CA', 'Other client CA', 'Foreign CA', 'victim'] as const).map(createThrowawayCa),
  );
  if (!serverCa || !clientCa || !otherCa || !foreignCa || !ownCa) throw new Error('a CA is missing');
  const named = (ca?: KeyPairPem, more: Partial<ClientCertificateRequest> = {}) =>
    createClientCertificate({ subject: VICTIM, ...(ca && { ca }), ...more });
  const client = await createClientCertificate({ subject: 'CN=attacker,O=acme', ca: clientCa });
  const day = 86_400_000;
  return {
    serverCa,
    clientCa,
    otherCa,
    fullBundle: await fullBundle(clientCa),
    certificates: {
      victim: await named(clientCa),
      client,
      ofOtherCa: await named(otherCa),
      ofForeignCa: await named(foreignCa),
      selfSigned: await named(),
      expired: await named(clientCa, {
        notBefore: new Date(Date.now() - 2 * day),
        notAfter: new Date(Date.now() - day),
      }),
      ofClient: await named(client),
      serverOnly: await clientCa.issue({ cn: 'victim', o: 'acme', dns: ['victim.example'] }),
      ownCa,
      ofOwnCa: await named(ownCa),
      large: await sized(8_000, clientCa),
      tooLarge: await sized(14_000, clientCa),
      huge: await sized(110_000, clientCa),
    },
  };
}

let made: Promise<People> | undefined;

/** The same for every product of a process. */
export function people(): Promise<People> {
  made ??= createPeople();
  return made;
}
