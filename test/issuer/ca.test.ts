import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ClientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import { secrets } from '../../src/kube/resource.ts';
import { CaIssuer } from '../../src/issuer/ca.ts';
import { managedSecretName } from '../../src/issuer/certificate-authority-secret.ts';
import type { Issued } from '../../src/issuer/issuer.ts';
import { issuerRegistry } from '../../src/issuer/registry.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { certificatesFromPem } from '../../src/x509/pem.ts';
import { openssl } from '../x509/openssl.ts';
import { DAY_MS, intermediateCa, rootCa, sha256Of } from './authorities.ts';
import { issuerContract } from './contract.ts';
import { IssuerEnvironment, lasting, operatorNamespace } from './environment.ts';
import { issuerObject } from './issuers.ts';

const referring = (secretName: string) => issuerObject(secretName, { ca: { secretRef: { name: secretName } } });
const subjectsOf = (pem: string) => certificatesFromPem(pem).map(({ subject }) => subject);

describe('CA issuer, with Secrets of a real API server', () => {
  let environment: IssuerEnvironment;
  let driver: CaIssuer;

  before(async () => {
    environment = await IssuerEnvironment.start();
    driver = newDriver();
    await environment.putCa('contract', await rootCa('CN=Contract CA'));
    await environment.secretCaughtUp('contract');
  });
  after(() => environment?.stop());

  const options = () => ({
    client: environment.client,
    authoritySecrets: environment.authoritySecrets,
    operatorNamespace,
  });
  const newDriver = () => new CaIssuer(options());

  const sign = async (
    issuer: ClientCertificateIssuer,
    { durationMs = DAY_MS, now = Date.now() } = {},
  ): Promise<Issued> => {
    const { privateKeyPem } = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
    return driver.sign(issuer, { subject: { dnsName: 'a.example.org' }, privateKeyPem, durationMs, now }, lasting());
  };

  issuerContract(() => ({
    driver,
    issuer: (maxDuration) =>
      issuerObject('contract', { ca: { secretRef: { name: 'contract' } }, policy: { maxDuration } }),
    now: Date.now(),
    verifyArgs: ['-x509_strict', '-purpose', 'sslclient'],
    emptySubjectBesideSan: true,
  }));

  test('a leaf under a root comes with that root; under an intermediate, with all but the root', async () => {
    const root = await sign(referring('contract'));
    assert.equal(certificatesFromPem(root.chainPem).length, 2);
    assert.deepEqual(subjectsOf(root.caPem), ['CN=Contract CA']);

    const { certificatePem, privateKeyPem, rootPem } = await intermediateCa();
    await environment.putSecret('chained', { 'tls.crt': certificatePem + rootPem, 'tls.key': privateKeyPem });
    await environment.putSecret('rooted', { 'tls.crt': certificatePem, 'tls.key': privateKeyPem, 'ca.crt': rootPem });
    for (const name of ['chained', 'rooted']) {
      const { chainPem, caPem } = await sign(referring(name));
      assert.deepEqual(subjectsOf(chainPem).slice(1), ['O=Example\nCN=Clients'], name);
      assert.deepEqual(subjectsOf(caPem), ['O=Example\nCN=Clients', 'O=Example\nCN=Root'], name);
      const files = { 'leaf.pem': chainPem, 'root.pem': rootPem };
      const args = ['verify', '-x509_strict', '-CAfile', 'root.pem', '-untrusted', 'leaf.pem', 'leaf.pem'];
      assert.match(await openssl(args, files), /OK/);
    }
  });

  test('leaves out certificates that do not vouch for the CA', async () => {
    const ca = await rootCa('CN=Ours');
    const stranger = await rootCa('CN=Stranger');
    await environment.putSecret('company', {
      'tls.crt': ca.certificatePem + stranger.certificatePem,
      'tls.key': ca.privateKeyPem,
    });
    const { chainPem, caPem } = await sign(referring('company'));
    assert.doesNotMatch(subjectsOf(chainPem + caPem).join(), /Stranger/);
  });

  test('a leaf never outlives its CA, nor begins before it', async () => {
    const now = Date.now();
    await environment.putCa('short', await rootCa('CN=Short', { duration: 3_600_000, now: new Date(now) }));
    const { chainPem, caPem } = await sign(referring('short'), { durationMs: 30 * DAY_MS, now });
    const [leaf] = certificatesFromPem(chainPem);
    const [ca] = certificatesFromPem(caPem);
    assert.deepEqual(leaf?.validToDate, ca?.validToDate);
    assert.deepEqual(leaf?.validFromDate, ca?.validFromDate);
    for (const [time, code] of [
      [now + 2 * 3_600_000, 'CAExpired'],
      [now - 3_600_000, 'CANotYetValid'],
    ] as const) {
      await assert.rejects(sign(referring('short'), { now: time }), { name: 'OperatorError', code });
    }
  });

  test('signs with a managed CA only where the Secret was made for that issuer', async () => {
    const managed = issuerObject('mine', { ca: { managed: {} } });
    await assert.rejects(sign(managed), { code: 'SecretNotFound' });
    await environment.putCa(managedSecretName('mine'), await rootCa('CN=Foreign'));
    await assert.rejects(sign(managed), { code: 'SecretNameTaken' });
    const metadata = {
      labels: { 'certbound.dev/role': 'certificate-authority' },
      annotations: { 'certbound.dev/owner': 'mine' },
    };
    const ref = { namespace: operatorNamespace, name: managedSecretName('mine') };
    await environment.client.patch(secrets, ref, { metadata }, { type: 'merge' });
    assert.deepEqual(subjectsOf((await sign(managed)).caPem), ['CN=Foreign']);
  });

  test('says to tenants nothing of Secrets, and to the platform which rule is broken', async () => {
    const ca = await rootCa('CN=Ours');
    const other = await rootCa('CN=Other');
    const leaf = await sign(referring('contract'));
    const cases: Record<string, Record<string, string>> = {
      InvalidPEM: { 'tls.crt': 'nonsense', 'tls.key': ca.privateKeyPem },
      CAKeyMismatch: { 'tls.crt': ca.certificatePem, 'tls.key': other.privateKeyPem },
      NotACA: { 'tls.crt': leaf.chainPem, 'tls.key': ca.privateKeyPem },
    };
    for (const [code, data] of Object.entries(cases)) {
      await environment.putSecret('broken', data);
      await assert.rejects(sign(referring('broken')), (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.doesNotMatch(error.message, /Secret|PRIVATE/);
        return true;
      });
    }
  });

  test('follows the Secret when it is replaced, unless the status shows another CA', async () => {
    const [first, second] = [await rootCa('CN=First'), await rootCa('CN=Second')];
    await environment.putCa('replaced', first);
    await environment.secretCaughtUp('replaced');
    assert.deepEqual(subjectsOf((await sign(referring('replaced'))).caPem), ['CN=First']);
    await environment.putCa('replaced', second);
    await environment.secretCaughtUp('replaced');
    assert.deepEqual(subjectsOf((await sign(referring('replaced'))).caPem), ['CN=Second']);

    const generation = { subject: 'CN=First', notBefore: '', notAfter: '', phase: 'Active' as const };
    const withStatus = {
      ...referring('replaced'),
      status: { generations: [{ ...generation, sha256: await sha256Of(first.certificatePem) }] },
    };
    await assert.rejects(sign(withStatus), { code: 'AuthorityReplaced' });
  });

  test('an imported key outlives an API server that does not answer, and an abort ends the wait for one', async () => {
    await environment.putCa('kept', await rootCa('CN=Kept'));
    await environment.secretCaughtUp('kept');
    await sign(referring('kept'));
    await environment.plane.stopApiServer();
    try {
      assert.deepEqual(subjectsOf((await sign(referring('kept'))).caPem), ['CN=Kept']);
      const { privateKeyPem } = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
      const request = { subject: { dnsName: 'a.example.org' }, privateKeyPem, durationMs: DAY_MS, now: Date.now() };
      await assert.rejects(newDriver().sign(referring('kept'), request, AbortSignal.timeout(50)));
    } finally {
      await environment.plane.startApiServer();
    }
  });

  test('the registry has a driver for every kind of issuer, and keeps it', () => {
    const driverOf = issuerRegistry(options());
    const [ca, selfSigned] = [issuerObject('a', { ca: { managed: {} } }), issuerObject('b', { selfSigned: {} })];
    assert.equal(driverOf(ca), driverOf(referring('contract')));
    assert.notEqual(driverOf(ca), driverOf(selfSigned));
    assert.throws(() => driverOf(issuerObject('c', {})), { code: 'UnsupportedIssuer' });
  });
});
