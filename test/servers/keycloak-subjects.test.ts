/** By which certificates Keycloak knows a client (RFC 8705 §2.1): its own matching, of what the driver registers. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import type { ServerCredentials } from '../../src/authserver/credentials.ts';
import { discover } from '../../src/authserver/discovery.ts';
import type { ClientMetadata, Registration } from '../../src/authserver/driver.ts';
import { keycloak as driver } from '../../src/authserver/keycloak/keycloak.ts';
import { certificateFields } from '../../src/x509/certificate-fields.ts';
import { dnFromDer } from '../../src/x509/dn-name.ts';
import { formatDn, parseDn } from '../../src/x509/dn.ts';
import { handleOf, metadataOf } from '../authserver/contract.ts';
import { access, HOST, lasting, serverObject } from '../authserver/servers.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { freePort } from '../support/free-port.ts';
import { type Answer, call } from '../support/https-call.ts';
import { type Keycloak, LEAST_ROLES, startKeycloak } from '../support/keycloak.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';

const CA = 'Client CA';
/** With several RDNs, and with several attributes in one, in either order. */
const CA_NAMES = [
  'CN=Root 1,OU=PKI,OU=Clients,O=Acme\\, Inc.,C=DE',
  'CN=Root 2+OU=PKI,O=Acme',
  'OU=PKI+CN=Root number 3,O=Acme+L=Berlin',
  'serialNumber=4+CN=Root 4,emailAddress=pki@example.com,O=Žluťoučký kůň',
];

describe('Keycloak', () => {
  let server: Keycloak;
  let connection: ServerConnection;
  let credentials: ServerCredentials;
  let serverCa: ThrowawayCa;
  let clientCa: ThrowawayCa;
  let otherCa: ThrowawayCa;
  const namedCas = new Map<string, ThrowawayCa>();

  before(async () => {
    serverCa = await createThrowawayCa('Server CA');
    clientCa = await createThrowawayCa(CA);
    otherCa = await createThrowawayCa('Another CA that TLS trusts');
    for (const name of CA_NAMES) namedCas.set(name, await createThrowawayCa({ dn: name }));
    const port = await freePort();
    server = await startKeycloak({
      host: HOST,
      port,
      tls: await serverCa.issue({ cn: HOST, dns: [HOST] }),
      caPem: serverCa.certPem,
      clientCaPem: [clientCa, otherCa, ...namedCas.values()].map(({ certPem }) => certPem).join(''),
    });
    const realm = await server.realm('corporate');
    await realm.scope('accounts:read');
    const { secret: clientSecret } = await realm.serviceAccount('certbound', LEAST_ROLES);
    credentials = { management: { clientId: 'certbound', proof: { clientSecret } } };
    const spec = {
      issuer: realm.issuer,
      keycloak: { clientId: 'certbound' },
      caBundle: serverCa.certPem,
      connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }],
    };
    const first = new ServerConnection(serverObject(spec));
    const { endpoints } = await discover(first, spec, lasting());
    await first.close();
    connection = new ServerConnection(serverObject(spec, endpoints));
  });
  after(async () => {
    await connection?.close();
    await server?.stop();
  });

  const register = async (subject: string, change: ClientMetadata = {}): Promise<Registration> => {
    const metadata = await metadataOf('tls_client_auth', { extensions: { caSubject: `CN=${CA}` } });
    const asked = { ...metadata, tls_client_auth_subject_dn: formatDn(parseDn(subject)), ...change };
    return driver.create(access(connection, credentials), asked);
  };
  const token = ({ clientId }: Registration, certificate: KeyPairPem | undefined): Promise<Answer> =>
    call({
      url: connection.endpoints?.tokenEndpoint ?? '',
      ca: serverCa.certPem,
      certificate,
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, scope: 'accounts:read' }),
    });
  const isRefused = ({ status, json }: Answer, why: string) => {
    assert.equal(status, 401, why);
    assert.match(String(json['error']), /^(invalid|unauthorized)_client$/, why);
  };

  const same: [what: string, registered: string, shown: string][] = [
    ['the same', 'CN=batch,O=payments', 'CN=batch,O=payments'],
    ['M3: the attributes of one RDN in another order', 'CN=batch+UID=7,O=payments', 'UID=7+CN=batch,O=payments'],
    ['an RDN that the certificate has in another order', 'UID=7+CN=batch,O=payments', 'UID=7+CN=batch,O=payments'],
    ['an RDN whose longer value comes last', 'CN=a longer name+UID=7,O=x', 'CN=a longer name+UID=7,O=x'],
    ['what has to be escaped', 'CN=a\\,b\\+c\\"d\\;e\\\\f,O=x', 'CN=a\\,b\\+c\\"d\\;e\\\\f,O=x'],
    ['what begins like hexadecimal', 'CN=\\#61,O=x', 'CN=\\#61,O=x'],
    ['other letters', 'CN=Žluťoučký kůň,O=日本,C=CZ', 'CN=Žluťoučký kůň,O=日本,C=CZ'],
    [
      'every short name of RFC 4514',
      'UID=u,CN=c,OU=o,O=o,STREET=s,L=l,ST=s,C=DE,DC=example',
      'UID=u,CN=c,OU=o,O=o,STREET=s,L=l,ST=s,C=DE,DC=example',
    ],
    ['a type without a short name', 'serialNumber=0815,CN=batch', 'serialNumber=0815,CN=batch'],
    ['a type that nobody knows', '1.3.6.1.4.1.99999.1=#0c0161,CN=batch', '1.3.6.1.4.1.99999.1=#0c0161,CN=batch'],
    ['an e-mail address', 'emailAddress=a@example.com,CN=batch', 'emailAddress=a@example.com,CN=batch'],
    ['a generation after a compromise', 'CN=batch,OU=generation-1,O=payments', 'CN=batch,OU=generation-1,O=payments'],
  ];
  for (const [what, registered, shown] of same) {
    test(`knows a client by ${what}`, async () => {
      const registration = await register(registered);
      const answer = await token(registration, await createClientCertificate({ subject: shown, ca: clientCa }));
      assert.equal(answer.status, 200, answer.text);
    });
  }

  const others: [what: string, registered: string, shown: string][] = [
    // RFC 8705 §2.1.2 would have these two match: Keycloak 26.7 compares what X500Principal makes of both as text. What we
    // register and what we issue are spelt alike.
    ['M3: another case', 'CN=Batch,O=Payments', 'CN=bATCH,O=payments'],
    ['M3: more spaces within', 'CN=batch one,O=payments', 'CN=batch  one,O=payments'],
    ['another name', 'CN=batch,O=payments', 'CN=patch,O=payments'],
    ['one RDN less', 'CN=batch,O=payments', 'CN=batch'],
    ['one RDN more', 'CN=batch', 'CN=batch,O=payments'],
    ['RDNs in another order', 'CN=batch,O=payments', 'O=payments,CN=batch'],
    ['what a pattern would match', 'CN=b.tch,O=payments', 'CN=batch,O=payments'],
    ['a pattern of everything', 'CN=.*', 'CN=batch'],
    ['the generation before', 'CN=batch,OU=generation-1,O=payments', 'CN=batch,O=payments'],
  ];
  for (const [what, registered, shown] of others) {
    test(`knows nobody by ${what}`, async () => {
      const registration = await register(registered);
      isRefused(await token(registration, await createClientCertificate({ subject: shown, ca: clientCa })), what);
      const own = await createClientCertificate({ subject: registered, ca: clientCa });
      assert.equal((await token(registration, own)).status, 200);
    });
  }

  test('M2: knows nobody by another client’s certificate, nor without one', async () => {
    const [one, other] = [await register('CN=one,O=team'), await register('CN=other,O=team')];
    const certificate = await createClientCertificate({ subject: 'CN=one,O=team', ca: clientCa });
    assert.equal((await token(one, certificate)).status, 200);
    isRefused(await token(other, certificate), 'client_id of the other');
    isRefused(await token(one, undefined), 'no certificate');
  });

  test('M2: knows nobody by the right subject from another CA', async () => {
    const one = await register('CN=pinned,O=team');
    const subject = 'CN=pinned,O=team';
    isRefused(await token(one, await createClientCertificate({ subject, ca: otherCa })), 'another CA that TLS trusts');
    const strange = await createThrowawayCa(CA);
    for (const certificate of [
      await createClientCertificate({ subject }),
      // Its CA has the name of ours.
      await createClientCertificate({ subject, ca: strange }),
    ]) {
      const answer = await token(one, certificate).catch((error: Error) => error);
      if (!(answer instanceof Error)) isRefused(answer, 'a CA that nobody trusts');
    }
    assert.equal((await token(one, await createClientCertificate({ subject, ca: clientCa }))).status, 200);
  });

  for (const name of CA_NAMES) {
    test(`knows a client of a CA that is named ${name}, and of no other`, async () => {
      const ca = namedCas.get(name) ?? assert.fail();
      const subject = `CN=of a named CA ${CA_NAMES.indexOf(name)},O=team`;
      // As the operator reads it from the root of the chain.
      const root = new X509Certificate(ca.certPem);
      const caName = formatDn(dnFromDer(certificateFields(root.raw).subject));
      const one = await register(subject, { tls_client_auth_ca_subject_dn: caName });
      const answer = await token(one, await createClientCertificate({ subject, ca }));
      assert.equal(answer.status, 200, `${caName}: ${answer.text}`);
      isRefused(await token(one, await createClientCertificate({ subject, ca: clientCa })), 'another CA');
    });
  }

  test('while clients of two CAs are alive, no CA is compared', async () => {
    const subject = 'CN=between,O=team';
    const one = await register(subject, { tls_client_auth_ca_subject_dn: undefined });
    for (const ca of [clientCa, otherCa]) {
      assert.equal((await token(one, await createClientCertificate({ subject, ca }))).status, 200);
    }
  });

  test('M4, M5: is told of no subject alternative name', async () => {
    await assert.rejects(
      register('CN=san,O=team', { tls_client_auth_subject_dn: undefined, tls_client_auth_san_dns: 'a.example' }),
      {
        code: 'RegistrationRefused',
      },
    );
  });

  test('a new subject ends the certificates of the one before', async () => {
    const before_ = await register('CN=renewed,O=team');
    const old = await createClientCertificate({ subject: 'CN=renewed,O=team', ca: clientCa });
    assert.equal((await token(before_, old)).status, 200);
    const subject = 'CN=renewed,OU=generation-1,O=team';
    const wanted = { ...before_.metadata, tls_client_auth_subject_dn: subject };
    await driver.update(access(connection, credentials), handleOf(before_), wanted);
    isRefused(await token(before_, old), 'the old one');
    assert.equal((await token(before_, await createClientCertificate({ subject, ca: clientCa }))).status, 200);
  });
});
