import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { signSelfSignedLeaf } from '../../src/x509/certificate.ts';
import { certificateFields } from '../../src/x509/certificate-fields.ts';
import { formatDn, parseDn, type Dn } from '../../src/x509/dn.ts';
import { dnFromDer, dnToDer } from '../../src/x509/dn-name.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { X509CertificateView } from '../../src/x509/library.ts';
import { toPem } from '../../src/x509/pem.ts';
import { loadSigner } from '../../src/x509/signer.ts';
import type { SubjectName } from '../../src/x509/subject-name.ts';
import { clientKey, DAY, HOUR, now, testCa, testLeaf } from './authority.ts';
import { openssl } from './openssl.ts';

const text = (pem: string): Promise<string> => openssl(['x509', '-in', 'c.pem', '-noout', '-text'], { 'c.pem': pem });
const at = String(Math.floor(now.getTime() / 1000));

/** notBefore and notAfter in milliseconds from the second that `now` is in. */
const dates = (pem: string): number[] => {
  const { validFromDate, validToDate } = new X509Certificate(pem);
  return [validFromDate.getTime() - now.getTime() + 789, validToDate.getTime() - now.getTime() + 789];
};

describe('signLeaf', () => {
  test('openssl reads every rule of the profile, and no other extension', async () => {
    const leaf = await text(await testLeaf(await testCa()));
    assert.match(leaf, /Version: 3 \(0x2\)/);
    assert.match(leaf, /Subject: O = payments, CN = payments-batch/);
    assert.match(leaf, /Issuer: O = test, CN = ca/);
    const extensions = leaf.slice(leaf.indexOf('X509v3 extensions:'), leaf.lastIndexOf('Signature Algorithm'));
    assert.match(extensions, /Basic Constraints: critical\s+CA:FALSE\n/);
    assert.match(extensions, /Key Usage: critical\s+Digital Signature\n/);
    assert.match(extensions, /Extended Key Usage: \n\s+TLS Web Client Authentication\n/);
    assert.match(extensions, /Subject Key Identifier: \n/);
    assert.match(extensions, /Authority Key Identifier: \n/);
    assert.equal(extensions.match(/X509v3 /g)?.length, 6);
  });

  for (const [algorithm, size, signature] of [
    ['ECDSA', 256, 'ecdsa-with-SHA256'],
    ['ECDSA', 384, 'ecdsa-with-SHA384'],
    ['RSA', 2048, 'sha256WithRSAEncryption'],
  ] as const) {
    test(`a CA of ${algorithm} ${size} signs with ${signature}, and openssl verifies it for TLS clients`, async () => {
      const ca = await testCa('CN=ca', { algorithm, size });
      const leaf = await testLeaf(ca);
      assert.match(await text(leaf), new RegExp(`Signature Algorithm: ${signature}\n`));
      const args = [
        'verify',
        '-x509_strict',
        '-check_ss_sig',
        '-purpose',
        'sslclient',
        '-attime',
        at,
        '-CAfile',
        'ca.pem',
        'leaf.pem',
      ];
      assert.match(await openssl(args, { 'ca.pem': ca.certificatePem, 'leaf.pem': leaf }), /leaf\.pem: OK/);
    });
  }

  test('the CA of another program signs too: its subject and key identifier are copied as they are', async () => {
    const key = (await generateKeyPair({ algorithm: 'RSA', size: 2048 })).privateKeyPem;
    const args = ['req', '-x509', '-key', 'k.pem', '-days', '3650', '-sha256', '-utf8', '-multivalue-rdn', '-subj'];
    const usage = [
      '-addext',
      'keyUsage=critical,keyCertSign',
      '-addext',
      'subjectKeyIdentifier=0102030405',
      '-addext',
      'authorityKeyIdentifier=none',
    ];
    const certificatePem = await openssl([...args, '/C=DE/O=Müller+OU=b/CN=Foreign CA', ...usage], { 'k.pem': key });
    const ca = { certificatePem, privateKeyPem: key };
    const leaf = await testLeaf(ca, { now: new Date() });
    const files = { 'ca.pem': certificatePem, 'leaf.pem': leaf };
    assert.match(await openssl(['verify', '-x509_strict', '-CAfile', 'ca.pem', 'leaf.pem'], files), /OK/);
    assert.deepEqual(
      certificateFields(new X509Certificate(leaf).raw).issuer,
      certificateFields(new X509Certificate(certificatePem).raw).subject,
    );
    assert.match(await text(leaf), /Authority Key Identifier: \n\s+(?:keyid:)?01:02:03:04:05\n/);
  });

  test('dates: 5 minutes back, the duration from now, within those of the CA', async () => {
    const old = await testCa('CN=ca', { now: new Date(now.getTime() - DAY) });
    assert.deepEqual(dates(await testLeaf(old, { duration: 2 * DAY })), [-5 * 60_000, 2 * DAY]);
    assert.deepEqual(dates(await testLeaf(old, { duration: 20 * DAY })), [-5 * 60_000, 9 * DAY]);
    const young = await testCa('CN=ca', { now: new Date(now.getTime() + 2 * 60_000) });
    assert.deepEqual(dates(await testLeaf(young)), [-3 * 60_000, DAY]);
  });

  test('a validity past 2049 is a GeneralizedTime', async () => {
    const ca = await testCa('CN=ca', { duration: 40 * 365 * DAY });
    const [, end] =
      (await openssl(['asn1parse', '-in', 'c.pem'], { 'c.pem': ca.certificatePem })).match(/GENERALIZEDTIME +:(\w+)/) ??
      [];
    assert.equal(end, '20660219120000Z');
  });

  test('a CA that is expired or not yet valid signs nothing', async () => {
    const expired = await testCa('CN=ca', { now: new Date(now.getTime() - 2 * HOUR), duration: HOUR });
    await assert.rejects(testLeaf(expired), { code: 'CAExpired', message: /2026-03-01T11:00:00/ });
    const early = await testCa('CN=ca', { now: new Date(now.getTime() + HOUR) });
    await assert.rejects(testLeaf(early), { code: 'CANotYetValid' });
  });

  test('serial numbers: positive, 16 octets, never the same', async () => {
    const signer = await testCa();
    const serials = await Promise.all(
      Array.from(
        { length: 200 },
        async () => certificateFields(new X509Certificate(await testLeaf(signer)).raw).serialNumber,
      ),
    );
    for (const serial of serials) {
      assert.equal(serial.byteLength, 16);
      assert((serial[0] ?? 0xff) < 0x80);
    }
    assert.equal(new Set(serials.map((serial) => Buffer.from(serial).toString('hex'))).size, 200);
  });

  const alternatives: readonly (readonly [SubjectName, RegExp])[] = [
    [{ dnsName: 'batch.payments.example.org' }, /DNS:batch\.payments\.example\.org\n/],
    [{ uri: 'spiffe://example.org/ns/payments/sa/batch' }, /URI:spiffe:\/\/example\.org\/ns\/payments\/sa\/batch\n/],
    [{ ipAddress: '192.0.2.255' }, /IP Address:192\.0\.2\.255\n/],
    [{ ipAddress: '2001:db8::1' }, /IP Address:2001:DB8:0:0:0:0:0:1\n/],
    [{ ipAddress: '::' }, /IP Address:0:0:0:0:0:0:0:0\n/],
    [{ ipAddress: '::ffff:192.0.2.1' }, /IP Address:0:0:0:0:0:FFFF:C000:201\n/],
    [{ emailAddress: 'batch@example.org' }, /email:batch@example\.org\n/],
  ];
  for (const [subject, expected] of alternatives) {
    test(`SAN ${JSON.stringify(subject)}: critical with an empty subject, not with a common name`, async () => {
      const ca = await testCa();
      const bare = await testLeaf(ca, { subject });
      assert.match(
        await text(bare),
        new RegExp(`Subject: \n[^]*Subject Alternative Name: critical\n\\s+${expected.source}`),
      );
      const named = await text(await testLeaf(ca, { subject, commonName: 'payments' }));
      assert.match(named, new RegExp(`Subject: CN = payments\n[^]*Subject Alternative Name: \n\\s+${expected.source}`));
      const files = { 'ca.pem': ca.certificatePem, 'leaf.pem': bare };
      assert.match(
        await openssl(['verify', '-x509_strict', '-attime', at, '-CAfile', 'ca.pem', 'leaf.pem'], files),
        /OK/,
      );
    });
  }

  test('refuses subjects that are none', async () => {
    const ca = await testCa();
    const refused: SubjectName[] = [
      { dn: [] },
      { dnsName: '*.example.org' },
      { dnsName: 'a..b' },
      { dnsName: 'a\0.example.org' },
      { dnsName: `${'a'.repeat(64)}.org` },
      { uri: 'payments' },
      { uri: 'https://exämple.org' },
      { uri: 'https://example.org/a b' },
      { ipAddress: '192.0.2.0/24' },
      { ipAddress: 'fe80::1%eth0' },
      { ipAddress: '1.2.3' },
      { emailAddress: 'batch' },
      { emailAddress: 'bätch@example.org' },
      { emailAddress: 'a@b@example.org' },
    ];
    for (const subject of refused) {
      await assert.rejects(testLeaf(ca, { subject }), { code: 'InvalidSubject' }, JSON.stringify(subject));
    }
  });

  test('a library of another author reads it as we do', async () => {
    const leaf = new X509CertificateView(await testLeaf(await testCa()));
    assert.equal(leaf.subject, 'O=payments, CN=payments-batch');
    assert.equal(leaf.extensions.length, 5);
  });
});

describe('distinguished names in certificates', () => {
  const NAMEOPT = 'RFC2253,-esc_msb,utf8,-esc_ctrl';

  async function opensslSubject(dn: Dn): Promise<string> {
    // A self-signed CA carries any subject; openssl prints it by RFC 2253, the predecessor of RFC 4514.
    const ca = await testCa(formatDn(dn));
    const printed = await openssl(['x509', '-in', 'c.pem', '-noout', '-subject', '-nameopt', NAMEOPT], {
      'c.pem': ca.certificatePem,
    });
    return printed.replace(/^subject=/, '').replace(/\n$/, '');
  }

  const samples: readonly string[] = [
    'CN=payments-batch,O=payments',
    'CN=a\\,O\\=b,O=c',
    'CN=a\\+OU\\=b,O=c',
    'CN=\\#0C0161',
    'CN=\\ a\\ ',
    'CN=\\"q\\"\\\\\\<\\>\\;=',
    'CN=Lučić 名 😀,L=Zürich',
    'CN=a,OU=b,OU=c,O=d,L=e,ST=f,STREET=g,DC=h,DC=i,UID=j,C=DE',
  ];
  for (const sample of samples) {
    test(`openssl reads back ${sample}`, async () => {
      const printed = await opensslSubject(parseDn(sample));
      assert.deepEqual(parseDn(printed.replaceAll('street=', 'STREET=')), parseDn(sample));
    });
  }

  test('openssl reads back a multi-valued RDN', async () => {
    const printed = await opensslSubject(parseDn('CN=a+OU=b,O=c'));
    assert.match(printed, /^(?:CN=a\+OU=b|OU=b\+CN=a),O=c$/);
  });

  test('openssl reads back any Unicode', async () => {
    const value = fc
      .array(
        fc.oneof(fc.constantFrom(...Array.from(',+"\\<>;=# é名😀')), fc.string({ unit: 'grapheme', maxLength: 1 })),
        { minLength: 1, maxLength: 20 },
      )
      .map((characters) => Array.from(characters.join('')).slice(0, 64).join(''))
      // OpenSSL 3.0 leaves a value of '#' alone unescaped: its do_buf() takes a last character for no first one.
      .filter((candidate) => candidate !== '#')
      .filter((candidate) => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(candidate) && candidate.trim() !== '');
    await fc.assert(
      fc.asyncProperty(value, value, async (cn, o) => {
        const dn: Dn = [[{ type: 'CN', value: cn }], [{ type: 'O', value: o }]];
        assert.deepEqual(parseDn(await opensslSubject(dn)), dn);
      }),
      { numRuns: 30 },
    );
  });

  test('we read names that openssl wrote, of other string types', async () => {
    const pem = await openssl(['req', '-x509', '-key', 'k.pem', '-config', 'c.cnf', '-days', '1'], {
      'k.pem': clientKey.privateKeyPem,
      'c.cnf': Buffer.from(
        '[req]\nprompt=no\nutf8=no\nstring_mask=MASK:0x0806\ndistinguished_name=dn\n[dn]\nC=DE\nO=M\xfcller\nCN=a b',
        'latin1',
      ),
    });
    const { subject } = certificateFields(new X509Certificate(pem).raw);
    assert.equal(formatDn(dnFromDer(subject)), 'CN=a b,O=Müller,C=DE');
    assert.notDeepEqual(Buffer.from(subject), Buffer.from(dnToDer(dnFromDer(subject))));
  });
});

describe('signSelfSignedLeaf', () => {
  test('is a client certificate that verifies with its own key and signs nothing', async () => {
    const subject = { dn: parseDn('CN=self') };
    const leaf = await signSelfSignedLeaf({ subject, duration: HOUR, now }, clientKey.privateKeyPem);
    const printed = await text(leaf);
    assert.match(printed, /CA:FALSE/);
    assert.match(printed, /Issuer: CN = self\n[^]*Subject: CN = self\n/);
    assert(new X509Certificate(leaf).verify(new X509Certificate(leaf).publicKey));
    const args = [
      'verify',
      '-partial_chain',
      '-check_ss_sig',
      '-purpose',
      'sslclient',
      '-attime',
      at,
      '-CAfile',
      'c.pem',
      'c.pem',
    ];
    assert.match(await openssl(args, { 'c.pem': leaf }), /OK/);
  });

  test('needs a name for its issuer', async () => {
    const subject = { dnsName: 'a.example.org' };
    await assert.rejects(signSelfSignedLeaf({ subject, duration: HOUR, now }, clientKey.privateKeyPem), {
      code: 'InvalidSubject',
    });
    const named = await signSelfSignedLeaf({ subject, commonName: 'a', duration: HOUR, now }, clientKey.privateKeyPem);
    assert.match(await text(named), /Subject: CN = a\n[^]*DNS:a\.example\.org/);
  });
});

describe('createCa', () => {
  test('openssl reads a root that signs leaves alone', async () => {
    const ca = await text((await testCa()).certificatePem);
    assert.match(ca, /Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
    assert.match(ca, /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    const [, ski] = /Subject Key Identifier: \n\s+(\S+)/.exec(ca) ?? [];
    const [, aki] = /Authority Key Identifier: \n\s+(?:keyid:)?(\S+)/.exec(ca) ?? [];
    assert.equal(ski, aki);
    assert.match(ski ?? '', /^(?:[0-9A-F]{2}:){19}[0-9A-F]{2}$/);
  });

  test('takes a key pair that exists', async () => {
    const ca = await testCa('CN=next', { keyPair: clientKey });
    assert.equal(ca.privateKeyPem, clientKey.privateKeyPem);
    assert(
      new X509Certificate(ca.certificatePem).publicKey
        .export({ type: 'spki', format: 'der' })
        .equals(clientKey.publicKeyDer),
    );
  });
});

describe('loadSigner', () => {
  test('refuses what cannot sign', async () => {
    const ca = await testCa();
    assert.throws(() => loadSigner(ca.certificatePem, clientKey.privateKeyPem), { code: 'CAKeyMismatch' });
    assert.throws(() => loadSigner(ca.certificatePem, 'x'), { code: 'InvalidPEM' });
    assert.throws(() => loadSigner(toPem('CERTIFICATE', Buffer.from('x')), ca.privateKeyPem), { code: 'InvalidPEM' });
    const withoutSki = await openssl(
      ['req', '-x509', '-key', 'k.pem', '-subj', '/CN=ca', '-days', '1', '-addext', 'subjectKeyIdentifier=none'],
      { 'k.pem': clientKey.privateKeyPem },
    );
    assert.throws(() => loadSigner(withoutSki, clientKey.privateKeyPem), { code: 'CAWithoutKeyIdentifier' });
    const edKey = await openssl(['genpkey', '-algorithm', 'ed25519']);
    const edCa = await openssl(['req', '-x509', '-key', 'k.pem', '-subj', '/CN=ca', '-days', '1'], { 'k.pem': edKey });
    assert.throws(() => loadSigner(edCa, edKey), { code: 'UnsupportedKey' });
  });
});
