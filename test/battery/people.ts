/** Who attacks, with which certificates, and whose name they want. */
import { MAXIMUM_BUNDLE_NAMES } from '../../src/x509/bundle.ts';
import { type ClientCertificate, createClientCertificate } from '../support/client-certificate.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';

const VICTIM = 'CN=victim,O=acme';

export interface People {
  serverCa: ThrowawayCa;
  /** Of the server whose clients `victim` and `client` are. */
  clientCa: ThrowawayCa;
  /** Of another AuthorizationServer, on another host of the same terminator. */
  otherCa: ThrowawayCa;
  /** CAs with names of just what a bundle may hold, the clients' among them. */
  fullBundle: string;
  victim: ClientCertificate;
  /** The attacker, where it is a client itself. */
  client: ClientCertificate;
  /** Certificates with the victim's name that count nowhere, or not at the victim's server. */
  ofOtherCa: ClientCertificate;
  ofForeignCa: ClientCertificate;
  selfSigned: ClientCertificate;
  expired: ClientCertificate;
  ofClient: ClientCertificate;
  serverOnly: KeyPairPem;
  /** Its own issuer, with CA:TRUE; and what it issues in the victim's name. */
  ownCa: ThrowawayCa;
  ofOwnCa: ClientCertificate;
  /** By the size of its certificate. */
  large: ClientCertificate;
  tooLarge: ClientCertificate;
  huge: ClientCertificate;
}

/** About so many octets of DER. */
function sized(octets: number, ca: KeyPairPem): Promise<ClientCertificate> {
  const san = Array.from({ length: Math.round(octets / 52) }, (_, n) => ({
    type: 'dns' as const,
    value: `${String(n).padStart(5, '0')}${'x'.repeat(35)}.example`,
  }));
  return createClientCertificate({ subject: 'CN=sized', ca, san });
}

async function fullBundle(clientCa: ThrowawayCa): Promise<string> {
  const name = (n: number) => `CA ${n} ${'x'.repeat(50)}`;
  // A DN with one attribute has 11 octets beside its text, and 2 before it in the handshake.
  const count = Math.floor((MAXIMUM_BUNDLE_NAMES - 100) / (name(100).length + 13));
  const others = await Promise.all(Array.from({ length: count }, (_, n) => createThrowawayCa(name(n))));
  return clientCa.certPem + others.map(({ certPem }) => certPem).join('');
}

async function createPeople(): Promise<People> {
  const [serverCa, clientCa, otherCa, foreignCa, ownCa] = await Promise.all(
    ['Server CA', 'Client CA', 'Other client CA', 'Foreign CA', 'victim'].map(createThrowawayCa),
  );
  if (!serverCa || !clientCa || !otherCa || !foreignCa || !ownCa) throw new Error('a CA is missing');
  const client = await createClientCertificate({ subject: 'CN=attacker,O=acme', ca: clientCa });
  const day = 86_400_000;
  return {
    serverCa,
    clientCa,
    otherCa,
    fullBundle: await fullBundle(clientCa),
    victim: await createClientCertificate({ subject: VICTIM, ca: clientCa }),
    client,
    ofOtherCa: await createClientCertificate({ subject: VICTIM, ca: otherCa }),
    ofForeignCa: await createClientCertificate({ subject: VICTIM, ca: foreignCa }),
    selfSigned: await createClientCertificate({ subject: VICTIM }),
    expired: await createClientCertificate({
      subject: VICTIM,
      ca: clientCa,
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    }),
    ofClient: await createClientCertificate({ subject: VICTIM, ca: client }),
    serverOnly: await clientCa.issue({ cn: 'victim', o: 'acme', dns: ['victim.example'] }),
    ownCa,
    ofOwnCa: await createClientCertificate({ subject: VICTIM, ca: ownCa }),
    large: await sized(8_000, clientCa),
    tooLarge: await sized(14_000, clientCa),
    huge: await sized(110_000, clientCa),
  };
}

let made: Promise<People> | undefined;

/** The same for every product of a process: a full bundle takes seconds. */
export function people(): Promise<People> {
  made ??= createPeople();
  return made;
}
