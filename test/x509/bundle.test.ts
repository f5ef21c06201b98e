import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { signSelfSignedLeaf, type Ca } from '../../src/x509/certificate.ts';
import { caBundle, MAXIMUM_BUNDLE_NAMES, throwawayCa } from '../../src/x509/bundle.ts';
import { checkCa } from '../../src/x509/profile.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { clientKey, DAY, now, testCa, testLeaf } from './authority.ts';
import { openssl } from './openssl.ts';

let a: Ca;
let b: Ca;
let root: Ca;
let intermediatePem: string;
before(async () => {
  [a, b, root] = await Promise.all([testCa('CN=a'), testCa('CN=b'), testCa('CN=root')]);
  const csr = await openssl(['req', '-new', '-key', 'k.pem', '-subj', '/CN=intermediate'], {
    'k.pem': clientKey.privateKeyPem,
  });
  // pathlen:0 of our own roots forbids intermediates, so that a root of openssl stands in.
  const rootPem = await openssl(['req', '-x509', '-key', 'k.pem', '-subj', '/CN=root', '-days', '9'], {
    'k.pem': root.privateKeyPem,
  });
  root = { ...root, certificatePem: rootPem };
  const printed = await openssl(
    [
      'x509',
      '-req',
      '-in',
      'csr.pem',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-days',
      '1',
      '-extfile',
      'x.cnf',
      '-extensions',
      'x',
    ],
    {
      'csr.pem': csr,
      'ca.pem': rootPem,
      'ca.key': root.privateKeyPem,
      'x.cnf': '[x]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n',
    },
  );
  intermediatePem = printed.slice(printed.indexOf('-----BEGIN'), printed.indexOf('-----END CERTIFICATE-----') + 26);
});

/** As long as a name gets with three RDNs. */
const longName = (i: number): string => `CN=${String(i).padStart(64, 'x')},O=${'o'.repeat(64)},OU=${'u'.repeat(64)}`;

describe('caBundle', () => {
  test('each CA once, sorted by hash, the same bytes whatever the order', () => {
    const bundle = caBundle([a.certificatePem, b.certificatePem + a.certificatePem]);
    assert.deepEqual(caBundle([b.certificatePem, a.certificatePem]), bundle);
    const inBundle = bundle.pem.split(/(?<=-----END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem));
    assert.deepEqual(
      inBundle.map(({ fingerprint256 }) => fingerprint256.replaceAll(':', '').toLowerCase()),
      bundle.hashes,
    );
    assert.deepEqual(bundle.hashes, bundle.hashes.toSorted());
    assert.equal(bundle.hashes.length, 2);
    assert.equal(bundle.namesSize, 2 * (14 + 2));
  });

  test('openssl verifies a leaf with it', async () => {
    const files = { 'ca.pem': caBundle([a.certificatePem, b.certificatePem]).pem, 'leaf.pem': await testLeaf(b) };
    const at = String(Math.floor(now.getTime() / 1000));
    assert.match(await openssl(['verify', '-attime', at, '-CAfile', 'ca.pem', 'leaf.pem'], files), /OK/);
  });

  test('never a leaf, self-signed or not', async () => {
    const selfSigned = await signSelfSignedLeaf(
      { subject: { dn: parseDn('CN=s') }, duration: DAY, now },
      clientKey.privateKeyPem,
    );
    for (const leaf of [await testLeaf(a), selfSigned]) {
      assert.throws(() => caBundle([a.certificatePem, leaf]), { code: 'NotACA' });
    }
  });

  test('an intermediate only with its root', () => {
    assert.throws(() => caBundle([intermediatePem]), { code: 'TrustBundleIncomplete' });
    assert.throws(() => caBundle([a.certificatePem, intermediatePem]), { code: 'TrustBundleIncomplete' });
    assert.equal(caBundle([intermediatePem, root.certificatePem]).hashes.length, 2);
  });

  test('two generations of one CA, of the same name, are two', async () => {
    const next = await testCa('CN=a');
    assert.equal(caBundle([a.certificatePem, next.certificatePem]).hashes.length, 2);
  });

  test('never empty', () => {
    assert.throws(() => caBundle([]), { code: 'TrustBundleEmpty' });
  });

  test('the newcomer that would fail every Java client is refused', async () => {
    const size = caBundle([(await testCa(longName(0))).certificatePem]).namesSize;
    const count = Math.floor(MAXIMUM_BUNDLE_NAMES / size);
    const cas = await Promise.all(Array.from({ length: count + 1 }, (_, i) => testCa(longName(i))));
    const pems = cas.map(({ certificatePem }) => certificatePem);
    assert(caBundle(pems.slice(1)).namesSize <= MAXIMUM_BUNDLE_NAMES);
    assert.throws(() => caBundle(pems), { code: 'TrustBundleFull', retry: { class: 'terminal' } });
  });
});

test('throwawayCa is a CA that fills a bundle, of another key each time', async () => {
  const [first, second] = [await throwawayCa(now), await throwawayCa(now)];
  assert.deepEqual(checkCa(first, undefined, now), []);
  assert.equal(caBundle([first]).hashes.length, 1);
  assert(!new X509Certificate(first).publicKey.equals(new X509Certificate(second).publicKey));
  assert.doesNotMatch(first, /PRIVATE/);
});
