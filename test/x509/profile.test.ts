import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { signSelfSignedLeaf, type Ca } from '../../src/x509/certificate.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { generateKeyPair, publicKeyDerOf } from '../../src/x509/key.ts';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '../../src/x509/library.ts';
import { certificationAuthorities, checkCa, checkLeaf, type LeafExpectations } from '../../src/x509/profile.ts';
import { clientKey, DAY, HOUR, now, testCa, testLeaf } from './authority.ts';
import { openssl } from './openssl.ts';

let ca: Ca;
let expected: LeafExpectations;
before(async () => {
  ca = await testCa();
  const subject = { dn: parseDn('CN=payments-batch,O=payments') };
  expected = {
    subject,
    publicKeyDer: clientKey.publicKeyDer,
    authorities: certificationAuthorities(ca.certificatePem),
  };
});

const reasons = (violations: readonly { reason: string; message: string }[]): string[] => {
  for (const { message } of violations) assert.match(message, /: \S+.*\.$/, 'says what to do');
  return violations.map(({ reason }) => reason).toSorted();
};

/** A leaf that openssl signs, with the extensions given. */
async function foreignLeaf(extensions: string, options: readonly string[] = []): Promise<string> {
  const csr = await openssl(['req', '-new', '-key', 'k.pem', '-subj', '/O=payments/CN=payments-batch'], {
    'k.pem': clientKey.privateKeyPem,
  });
  const files = {
    'csr.pem': csr,
    'ca.pem': ca.certificatePem,
    'ca.key': ca.privateKeyPem,
    'x.cnf': `[x]\n${extensions}\n`,
  };
  const args = ['x509', '-req', '-in', 'csr.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '1'];
  const printed = await openssl(
    [...args, ...(extensions === '' ? [] : ['-extfile', 'x.cnf', '-extensions', 'x']), ...options],
    files,
  );
  return printed.slice(printed.indexOf('-----BEGIN'), printed.indexOf('-----END CERTIFICATE-----') + 26);
}

const GOOD = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=clientAuth',
  'subjectKeyIdentifier=hash',
  'authorityKeyIdentifier=keyid',
];
const changed = (from: string, to: string): string =>
  GOOD.map((line) => (line.startsWith(from) ? to : line)).join('\n');
/** openssl signs with the real clock: the dates are not what these cases are about. */
const profileReasons = (pem: string): string[] =>
  reasons(checkLeaf(pem, expected, now)).filter((reason) => !['NotYetValid', 'Expired', 'OutlivesCA'].includes(reason));

const SIGNATURE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

describe('checkLeaf', () => {
  test('our own leaf passes, alone and with its chain', async () => {
    const leaf = await testLeaf(ca);
    assert.deepEqual(checkLeaf(leaf, expected, now), []);
    assert.deepEqual(checkLeaf(leaf + ca.certificatePem, expected, now), []);
  });

  test('the leaf of another program passes', async () => {
    assert.deepEqual(profileReasons(await foreignLeaf(GOOD.join('\n'))), []);
  });

  const broken: readonly (readonly [string, string, readonly string[], readonly string[]])[] = [
    ['CA:TRUE', changed('basic', 'basicConstraints=critical,CA:TRUE'), [], ['NotAnEndEntity']],
    ['no basicConstraints', changed('basic', ''), [], ['NotAnEndEntity']],
    ['basicConstraints not critical', changed('basic', 'basicConstraints=CA:FALSE'), [], ['NotAnEndEntity']],
    ['no keyUsage', changed('keyUsage', ''), [], ['WrongKeyUsage']],
    ['keyUsage not critical', changed('keyUsage', 'keyUsage=digitalSignature'), [], ['WrongKeyUsage']],
    ['more keyUsage', changed('keyUsage', 'keyUsage=critical,digitalSignature,keyCertSign'), [], ['WrongKeyUsage']],
    ['serverAuth', changed('extended', 'extendedKeyUsage=serverAuth,clientAuth'), [], ['WrongExtendedKeyUsage']],
    ['any usage', changed('extended', ''), [], ['WrongExtendedKeyUsage']],
    ['a SAN nobody asked for', `${GOOD.join('\n')}\nsubjectAltName=DNS:victim.example.org`, [], ['WrongSubject']],
    ['a small serial number', GOOD.join('\n'), ['-set_serial', '7'], ['WeakSerialNumber']],
    ['a negative serial number', GOOD.join('\n'), ['-set_serial', '-0x11223344556677889900'], ['WeakSerialNumber']],
    ['another subject', GOOD.join('\n'), ['-subj', '/O=payments/CN=admin'], ['WrongSubject']],
    ['the RDNs in another order', GOOD.join('\n'), ['-subj', '/CN=payments-batch/O=payments'], ['WrongSubject']],
    ['another case', GOOD.join('\n'), ['-subj', '/O=payments/CN=Payments-Batch'], ['WrongSubject']],
    [
      'no authority key identifier',
      changed('authority', 'authorityKeyIdentifier=none'),
      [],
      ['WrongAuthorityKeyIdentifier'],
    ],
  ];
  for (const [name, extensions, options, expectedReasons] of broken) {
    test(`refuses ${name}`, async () => {
      assert.deepEqual(profileReasons(await foreignLeaf(extensions, options)), expectedReasons);
    });
  }

  test('refuses an extension that is there twice: readers see one or the other', async () => {
    const generated = await X509CertificateGenerator.create({
      publicKey: clientKey.publicKeyDer,
      signingKey: (await globalThis.crypto.subtle.generateKey(SIGNATURE, false, ['sign', 'verify'])).privateKey,
      signingAlgorithm: SIGNATURE,
      extensions: ['victim', 'payments-batch'].map(
        (value) => new SubjectAlternativeNameExtension([{ type: 'dns', value: `${value}.example.org` }]),
      ),
    });
    assert.ok(profileReasons(generated.toString('pem')).includes('RepeatedExtension'));
  });

  test('refuses a v1 certificate for all that it lacks', async () => {
    const found = profileReasons(await foreignLeaf(''));
    for (const reason of ['NotVersion3', 'NotAnEndEntity', 'WrongKeyUsage', 'WrongExtendedKeyUsage'])
      assert(found.includes(reason));
  });

  test('refuses another key', async () => {
    const other = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
    assert.deepEqual(reasons(checkLeaf(await testLeaf(ca), { ...expected, publicKeyDer: other.publicKeyDer }, now)), [
      'WrongKey',
    ]);
  });

  test('refuses the wrong dates', async () => {
    const leaf = await testLeaf(ca);
    assert.deepEqual(reasons(checkLeaf(leaf, expected, new Date(now.getTime() + 2 * DAY))), ['Expired']);
    assert.deepEqual(reasons(checkLeaf(leaf, expected, new Date(now.getTime() - HOUR))), ['NotYetValid']);
  });

  test('refuses a leaf that outlives its CA', async () => {
    // The same name and key with a shorter life: a renewed CA.
    const { privateKeyPem } = ca;
    const keyPair = { privateKeyPem, publicKeyDer: publicKeyDerOf(privateKeyPem) };
    const short = await testCa('CN=ca,O=test', { keyPair, duration: HOUR });
    const leaf = await testLeaf(ca);
    assert.deepEqual(
      reasons(checkLeaf(leaf, { ...expected, authorities: certificationAuthorities(short.certificatePem) }, now)),
      ['OutlivesCA'],
    );
  });

  test('refuses the leaf of another CA, though it bears the same name', async () => {
    const impostor = await testCa();
    assert.deepEqual(reasons(checkLeaf(await testLeaf(impostor), expected, now)), ['UnknownAuthority']);
    const leaf = await testLeaf(impostor);
    assert.deepEqual(reasons(checkLeaf(leaf + impostor.certificatePem, expected, now)), ['UnknownAuthority']);
    assert.deepEqual(reasons(checkLeaf(leaf + ca.certificatePem, expected, now)), ['UnknownAuthority']);
  });

  test('a SAN identity must be the only one', async () => {
    const leaf = await testLeaf(ca, { subject: { uri: 'spiffe://a/b' }, commonName: 'b' });
    assert.deepEqual(checkLeaf(leaf, { ...expected, subject: { uri: 'spiffe://a/b' } }, now), []);
    assert.deepEqual(reasons(checkLeaf(leaf, { ...expected, subject: { uri: 'spiffe://a/c' } }, now)), [
      'WrongSubject',
    ]);
    assert.deepEqual(reasons(checkLeaf(leaf, { ...expected, subject: { dn: parseDn('CN=b') } }, now)), [
      'WrongSubject',
    ]);
    assert.deepEqual(reasons(checkLeaf(await testLeaf(ca), { ...expected, subject: { uri: 'spiffe://a/b' } }, now)), [
      'WrongSubject',
    ]);
  });

  test('self-signed, where that is expected', async () => {
    const { subject } = expected;
    const leaf = await signSelfSignedLeaf({ subject, duration: DAY, now }, clientKey.privateKeyPem);
    assert.deepEqual(checkLeaf(leaf, { ...expected, authorities: undefined }, now), []);
    assert.deepEqual(reasons(checkLeaf(leaf, expected, now)), ['UnknownAuthority']);
    assert.deepEqual(reasons(checkLeaf(leaf, { ...expected, authorities: certificationAuthorities(leaf) }, now)), [
      'UnknownAuthority',
    ]);
    assert.deepEqual(reasons(checkLeaf(await testLeaf(ca), { ...expected, authorities: undefined }, now)), [
      'NotSelfSigned',
    ]);
  });

  test('what is no certificate', () => {
    assert.deepEqual(reasons(checkLeaf('x', expected, now)), ['InvalidPEM']);
    assert.deepEqual(reasons(checkLeaf('', expected, now)), ['InvalidPEM']);
  });
});

const foreignCa = (...extensions: string[]): Promise<string> =>
  openssl(
    [
      'req',
      '-x509',
      '-key',
      'k.pem',
      '-subj',
      '/CN=ca',
      '-days',
      '1',
      ...extensions.flatMap((value) => ['-addext', value]),
    ],
    { 'k.pem': clientKey.privateKeyPem },
  );

describe('checkCa', () => {
  test('our own CA passes, with its key and without', () => {
    assert.deepEqual(checkCa(ca.certificatePem, ca.privateKeyPem, now), []);
    assert.deepEqual(checkCa(ca.certificatePem, undefined, now), []);
  });

  test('each condition has its reason', async () => {
    const later = new Date(now.getTime() + 11 * DAY);
    const earlier = new Date(now.getTime() - HOUR);
    assert.deepEqual(reasons(checkCa(ca.certificatePem, ca.privateKeyPem, later)), ['CAExpired']);
    assert.deepEqual(reasons(checkCa(ca.certificatePem, ca.privateKeyPem, earlier)), ['CANotYetValid']);
    assert.deepEqual(reasons(checkCa(ca.certificatePem, clientKey.privateKeyPem, now)), ['CAKeyMismatch']);
    assert.deepEqual(reasons(checkCa(await testLeaf(ca), clientKey.privateKeyPem, now)), ['NotACA']);
    assert.deepEqual(reasons(checkCa('', ca.privateKeyPem, now)), ['InvalidPEM']);
    assert.deepEqual(reasons(checkCa(ca.certificatePem, '', now)), ['InvalidPEM']);
    assert.deepEqual(reasons(checkCa(ca.certificatePem, clientKey.privateKeyPem, later)), [
      'CAExpired',
      'CAKeyMismatch',
    ]);
  });

  test('a CA without keyCertSign or key identifier', async () => {
    const today = new Date(Date.now() + 60_000);
    const check = async (...extensions: string[]): Promise<string[]> =>
      reasons(checkCa(await foreignCa(...extensions), clientKey.privateKeyPem, today));
    assert.deepEqual(await check('keyUsage=critical,keyCertSign'), []);
    assert.deepEqual(await check('keyUsage=critical,digitalSignature'), ['NotACA']);
    assert.deepEqual(await check(), ['NotACA']);
    assert.deepEqual(await check('keyUsage=keyCertSign', 'subjectKeyIdentifier=none'), ['CAWithoutKeyIdentifier']);
  });
});
