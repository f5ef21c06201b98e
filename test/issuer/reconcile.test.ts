import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { ClientCertificateIssuerSpec } from '../../src/api/client-certificate-issuer.ts';
import { IN_USE_FINALIZER } from '../../src/api/annotations.ts';
import { clientCertificateIssuers } from '../../src/api/resources.ts';
import { managedSecretName } from '../../src/issuer/certificate-authority-secret.ts';
import { customResourceDefinitions, type KubernetesObject, secrets } from '../../src/kube/resource.ts';
import { certificatesFromPem, privateKeyFromPem } from '../../src/x509/pem.ts';
import { CaIssuer } from '../../src/issuer/ca.ts';
import { generateKeyPair } from '../../src/x509/key.ts';
import { DAY_MS, intermediateCa, rootCa, sha256Of } from './authorities.ts';
import { clusterId, IssuerEnvironment, lasting, operatorNamespace, until } from './environment.ts';

const managed: ClientCertificateIssuerSpec = { ca: { managed: {} } };
const definitionName = 'clientcertificateissuers.certbound.dev';

class Killed extends Error {}

const idle = () => undefined;
const tls = (crt: string, key: string) => ({ 'tls.crt': crt, 'tls.key': key });
const referring = (secretName: string): ClientCertificateIssuerSpec => ({ ca: { secretRef: { name: secretName } } });
const caOf = (secret: KubernetesObject): { certificatePem: string; privateKeyPem: string } => {
  const data = secret['data'];
  const text = (key: string) => {
    const value: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined;
    assert.ok(typeof value === 'string');
    return Buffer.from(value, 'base64').toString();
  };
  return { certificatePem: text('tls.crt'), privateKeyPem: text('tls.key') };
};

describe('ClientCertificateIssuer, against a real API server', () => {
  let environment: IssuerEnvironment;
  let count = 0;
  let name = '';

  before(async () => {
    environment = await IssuerEnvironment.start();
  });
  after(() => environment?.stop());
  beforeEach(() => {
    name = `issuer-${++count}`;
    environment.clock.setWallClock(Math.floor(Date.now() / 1000) * 1000);
  });

  const reconcile = () => environment.reconcile(name);
  const now = () => environment.clock.now();
  const managedSecret = async (): Promise<KubernetesObject> => {
    const secret = await environment.secret(managedSecretName(name));
    assert.ok(secret !== undefined, 'no managed CA');
    return secret;
  };
  /** As a restore from a backup does: the same content, another uid. */
  const restore = async ({ metadata, type, data }: KubernetesObject): Promise<void> => {
    const { labels = {}, annotations = {}, namespace = '' } = metadata;
    await environment.client.create(secrets, {
      metadata: { name: metadata.name, namespace, labels, annotations },
      type,
      data,
    });
  };
  const messageOf = async (type = 'Ready') =>
    (await environment.status(name)).conditions?.find((c) => c.type === type)?.message ?? '';
  const remove = () => environment.client.delete(clientCertificateIssuers, { name });
  /** Without the operator: as when a cluster is rebuilt. */
  const removeByForce = async () => {
    await environment.client.patch(
      clientCertificateIssuers,
      { name },
      { metadata: { finalizers: [] } },
      { type: 'merge' },
    );
    await remove();
    await environment.caughtUp(name);
  };

  test('a managed CA is made, stored first, and shown', async () => {
    await environment.create(name, managed);
    await reconcile();

    const secret = await managedSecret();
    assert.equal(secret['type'], 'kubernetes.io/tls');
    assert.equal(secret.metadata.labels?.['certbound.dev/role'], 'certificate-authority');
    const issuer = await environment.issuer(name);
    assert.equal(secret.metadata.annotations?.['certbound.dev/owner'], name);
    assert.equal(secret.metadata.annotations?.['certbound.dev/owner-uid'], issuer?.metadata.uid);
    assert.equal(secret.metadata.ownerReferences, undefined);

    const { certificatePem, privateKeyPem } = caOf(secret);
    const [ca] = certificatesFromPem(certificatePem);
    assert.equal(ca?.checkPrivateKey(privateKeyFromPem(privateKeyPem)), true);
    assert.equal(ca?.subject, `O=${clusterId}\nCN=${name}`);
    assert.equal(ca?.validToDate.getTime(), now() + 3650 * DAY_MS);

    const status = await environment.status(name);
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.equal(status.caCertificate, certificatePem);
    assert.deepEqual(status.generations, [
      {
        sha256: await sha256Of(certificatePem),
        subject: `CN=${name},O=${clusterId}`,
        notBefore: ca?.validFromDate.toISOString().replace('.000', ''),
        notAfter: ca?.validToDate.toISOString().replace('.000', ''),
        phase: 'Active',
      },
    ]);
    assert.deepEqual(issuer?.metadata.finalizers, [IN_USE_FINALIZER]);
  });

  test('its subject, life and key are as the spec says', async () => {
    const dn = 'CN=Clients\\, corporate,O=Example';
    await environment.create(name, {
      ca: { managed: { dn, duration: '48h', privateKey: { algorithm: 'RSA', size: 3072 } } },
    });
    await reconcile();
    const [ca] = certificatesFromPem(caOf(await managedSecret()).certificatePem);
    assert.equal(ca?.publicKey.asymmetricKeyDetails?.modulusLength, 3072);
    assert.equal(ca.validToDate.getTime(), now() + 2 * DAY_MS);
    assert.equal((await environment.status(name)).generations?.[0]?.subject, dn);
  });

  test('a subject that no certificate may have makes no CA', async () => {
    await environment.create(name, { ca: { managed: { dn: 'CN=a;b' } } });
    await reconcile();
    assert.equal(await environment.condition(name), 'False InvalidDistinguishedName');
    assert.equal(await environment.secret(managedSecretName(name)), undefined);
  });

  test('a long name makes a Secret of a name that fits, and a common name that fits', async () => {
    name = `${'a'.repeat(240)}-${count}`;
    await environment.create(name, managed);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.ok((await managedSecret()).metadata.name.length <= 253);
  });

  test('the key is nowhere but in the Secret', async () => {
    await environment.create(name, managed);
    await reconcile();
    const { privateKeyPem } = caOf(await managedSecret());
    const [, secretLine = ''] = privateKeyPem.split('\n');
    const cached = JSON.stringify([...environment.authoritySecrets.list()]);
    for (const text of [cached, JSON.stringify(await environment.issuer(name))]) {
      assert.equal(text.includes(secretLine), false);
      assert.equal(text.includes('PRIVATE KEY'), false);
    }
  });

  test('nothing is written at rest', async () => {
    await environment.create(name, managed);
    await reconcile();
    const versions = async () => [
      (await environment.issuer(name))?.metadata.resourceVersion,
      (await managedSecret()).metadata.resourceVersion,
    ];
    const settled = await versions();
    await reconcile();
    environment.clock.advance(DAY_MS);
    await reconcile();
    assert.deepEqual(await versions(), settled);
  });

  for (const step of ['addFinalizer', 'createAuthority', 'removeFinalizer', 'deleteAuthority']) {
    for (const when of ['before', 'after'] as const) {
      test(`killed ${when} ${step}, the next operator ends the work`, async () => {
        let killed = 0;
        const kill = (_kind: string, at: string) => {
          if (at !== step) return;
          killed += 1;
          throw new Killed();
        };
        const mortal = environment.reconciler({
          before: when === 'before' ? kill : idle,
          after: when === 'after' ? kill : idle,
        });
        const live = async () => {
          await environment.reconcile(name, mortal).catch((error: unknown) => {
            if (!(error instanceof Killed)) throw error;
          });
        };

        await environment.create(name, managed);
        await live();
        const survivor = await environment.secret(managedSecretName(name));
        await reconcile();
        assert.equal(await environment.condition(name), 'True AuthorityUsable');
        const { uid } = (await managedSecret()).metadata;
        assert.ok(survivor === undefined || survivor.metadata.uid === uid, 'a second CA was made');

        await remove();
        await live();
        await reconcile();
        assert.equal(await environment.issuer(name), undefined);
        assert.equal(await environment.secret(managedSecretName(name)), undefined);
        assert.equal(killed, 1);
      });
    }
  }

  test('a CA that is there already is adopted as it is: nothing is issued again after a rebuild', async () => {
    await environment.create(name, managed);
    await reconcile();
    const { certificatePem } = caOf(await managedSecret());
    await removeByForce();
    await environment.create(name, managed);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.equal((await environment.status(name)).caCertificate, certificatePem);
  });

  test("somebody else's Secret is left alone, and the CA made once the name is free", async () => {
    const secretName = managedSecretName(name);
    await environment.putSecret(secretName, { password: 'x' }, 'Opaque');
    await environment.create(name, managed);
    await reconcile();
    assert.equal(await environment.condition(name), 'False SecretNameTaken');
    assert.equal((await managedSecret())['type'], 'Opaque');
    await environment.deleteSecret(secretName);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
  });

  test('the CA of another issuer is not adopted', async () => {
    await environment.create(name, managed);
    await reconcile();
    const secretName = managedSecretName(name);
    const annotations = { 'certbound.dev/owner': 'another' };
    await environment.client.patch(
      secrets,
      { namespace: operatorNamespace, name: secretName },
      { metadata: { annotations } },
      { type: 'merge' },
    );
    await reconcile();
    assert.equal(await environment.condition(name), 'False SecretNameTaken');
    await remove();
    await reconcile();
    assert.equal(await environment.issuer(name), undefined);
    assert.equal((await managedSecret()).metadata.annotations?.['certbound.dev/owner'], 'another');
  });

  test('a CA that vanished is not replaced silently; restored, it is used again', async () => {
    await environment.create(name, managed);
    await reconcile();
    const shown = await environment.status(name);
    const secret = await managedSecret();
    await environment.deleteSecret(secret.metadata.name);
    await reconcile();
    assert.equal(await environment.condition(name), 'False AuthorityLost');
    assert.match(await messageOf(), new RegExp(`"${secret.metadata.name}".*[Rr]estore`, 's'));
    assert.equal(await environment.secret(secret.metadata.name), undefined);
    const lost = await environment.status(name);
    assert.deepEqual([lost.generations, lost.caCertificate], [shown.generations, shown.caCertificate]);

    await restore(secret);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.deepEqual((await environment.status(name)).generations, shown.generations);
  });

  test('a Secret that only the cache lacks is no lost CA', async () => {
    await environment.create(name, managed);
    await reconcile();
    const { metadata } = await managedSecret();
    await environment.caughtUp(name);
    environment.authoritySecrets.forget({ namespace: operatorNamespace, name: metadata.name }, metadata.uid);
    await environment.reconciler().reconcile(name, lasting());
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
  });

  test('every fault of a CA that the platform keeps has its reason, and mending it suffices', async () => {
    const ca = await rootCa('CN=Ours');
    const other = await rootCa('CN=Other');
    const { certificatePem, privateKeyPem } = await intermediateCa();
    await environment.create(name, referring(name));
    await reconcile();
    assert.equal(await environment.condition(name), 'False SecretNotFound');

    await environment.putSecret(name, tls(ca.certificatePem, ca.privateKeyPem), 'Opaque');
    await reconcile();
    assert.equal(await environment.condition(name), 'False NotATLSSecret');

    await environment.putCa(name, ca);
    const { privateKeyPem: leafKey } = await generateKeyPair({ algorithm: 'ECDSA', size: 256 });
    const { client, authoritySecrets } = environment;
    const issuer = await environment.issuer(name);
    assert.ok(issuer !== undefined);
    const leaf = await new CaIssuer({ client, authoritySecrets, operatorNamespace }).sign(
      issuer,
      { subject: { dnsName: 'a.example.org' }, privateKeyPem: leafKey, durationMs: DAY_MS, now: now() },
      lasting(),
    );
    const faults: readonly [string, Record<string, string>][] = [
      ['InvalidPEM', tls('nonsense', ca.privateKeyPem)],
      ['InvalidPEM', tls(ca.certificatePem, 'nonsense')],
      ['InvalidPEM', { ...tls(ca.certificatePem, ca.privateKeyPem), 'ca.crt': 'nonsense' }],
      ['NotACA', tls(leaf.chainPem, leafKey)],
      ['CAKeyMismatch', tls(ca.certificatePem, other.privateKeyPem)],
      ['CAChainIncomplete', tls(certificatePem, privateKeyPem)],
    ];
    for (const [reason, data] of faults) {
      await environment.putSecret(name, data);
      await reconcile();
      assert.equal(await environment.condition(name), `False ${reason}`);
      const message = await messageOf();
      assert.match(message, new RegExp(`"${name}"`));
      assert.doesNotMatch(message, /PRIVATE KEY-/);
    }
    await environment.putCa(name, ca);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.equal((await environment.status(name)).caCertificate, ca.certificatePem);
  });

  test('is ready from the first second of its CA to the last, and says when the end is near', async () => {
    const begin = now() + DAY_MS;
    const ca = await rootCa('CN=Ours', { now: new Date(begin + 5 * 60_000), duration: 300 * DAY_MS });
    const [certificate] = certificatesFromPem(ca.certificatePem);
    assert.equal(certificate?.validFromDate.getTime(), begin);
    const end = certificate.validToDate.getTime();
    await environment.putCa(name, ca);
    await environment.create(name, { ...referring(name), policy: { maxDuration: '240h' } });

    const times: readonly [number, string][] = [
      [now(), 'False CANotYetValid'],
      [begin, 'True AuthorityUsable'],
      [end - 10 * DAY_MS, 'True CAExpiresSoon'],
      [end, 'False CAExpired'],
    ];
    for (const [index, [time, condition]] of times.entries()) {
      environment.clock.setWallClock(time - 1000);
      if (index > 0) {
        const { requeueAfterMs } = await reconcile();
        assert.equal(requeueAfterMs, 1000, 'it looks again exactly when the status changes');
        assert.equal(await environment.condition(name), times[index - 1]?.[1]);
      }
      environment.clock.setWallClock(time);
      const { requeueAfterMs } = await reconcile();
      assert.equal(await environment.condition(name), condition);
      const next = times[index + 1]?.[0];
      assert.equal(requeueAfterMs, next === undefined ? undefined : next - time);
    }
    assert.equal((await environment.status(name)).caCertificate, ca.certificatePem);
    assert.match(await messageOf(), /same subject and key/);
  });

  test('another CA is refused while clients use the former one; a renewal of the same key is not', async () => {
    const former = await rootCa('CN=Ours');
    await environment.putCa(name, former);
    await environment.create(name, referring(name));
    await reconcile();
    const trusted = await environment.status(name);
    environment.users.set(name, 2);

    await environment.putCa(name, await rootCa('CN=Ours'));
    await reconcile();
    assert.equal(await environment.condition(name), 'False AuthorityReplaced');
    assert.deepEqual((await environment.status(name)).generations, trusted.generations);
    assert.equal((await environment.status(name)).caCertificate, former.certificatePem);

    const publicKey = certificatesFromPem(former.certificatePem)[0]?.publicKey;
    assert.ok(publicKey !== undefined);
    const keyPair = {
      privateKeyPem: former.privateKeyPem,
      publicKeyDer: publicKey.export({ type: 'spki', format: 'der' }),
    };
    const renewed = await rootCa('CN=Ours', { keyPair, duration: 800 * DAY_MS });
    await environment.putCa(name, renewed);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.equal((await environment.status(name)).caCertificate, renewed.certificatePem);

    environment.users.delete(name);
    const another = await rootCa('CN=Another');
    await environment.putCa(name, another);
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.equal((await environment.status(name)).caCertificate, another.certificatePem);
  });

  test('a self-signed issuer is ready at once', async () => {
    await environment.create(name, { selfSigned: {} });
    const { requeueAfterMs } = await reconcile();
    assert.equal(await environment.condition(name), 'True SelfSigned');
    assert.equal(requeueAfterMs, undefined);
    const { generations, caCertificate } = await environment.status(name);
    assert.deepEqual([generations, caCertificate], [undefined, undefined]);
  });

  test('in use, a deleted issuer stays and signs; then it goes with its CA', async () => {
    await environment.create(name, managed);
    await reconcile();
    environment.users.set(name, 1);
    await remove();
    await reconcile();
    assert.equal(await environment.condition(name), 'True AuthorityUsable');
    assert.equal(await environment.condition(name, 'Deletable'), 'False InUse');
    await managedSecret();

    environment.users.delete(name);
    await reconcile();
    assert.equal(await environment.issuer(name), undefined);
    assert.equal(await environment.secret(managedSecretName(name)), undefined);
    assert.deepEqual(await reconcile(), {});
  });

  test('the CA that the platform keeps is never deleted', async () => {
    await environment.putCa(name, await rootCa('CN=Ours'));
    await environment.create(name, referring(name));
    await reconcile();
    await remove();
    await reconcile();
    assert.equal(await environment.issuer(name), undefined);
    assert.ok((await environment.secret(name)) !== undefined);
  });

  test('finalizers of others survive ours', async () => {
    await environment.create(name, { selfSigned: {} });
    const finalizers = ['example.dev/audit'];
    const patch = (metadata: Record<string, unknown>) =>
      environment.client.patch(clientCertificateIssuers, { name }, { metadata }, { type: 'merge' });
    await patch({ finalizers });
    await reconcile();
    assert.deepEqual((await environment.issuer(name))?.metadata.finalizers, [...finalizers, IN_USE_FINALIZER]);
    await remove();
    await reconcile();
    assert.deepEqual((await environment.issuer(name))?.metadata.finalizers, finalizers);
    await patch({ finalizers: [] });
  });

  test('a status that somebody edited is set right', async () => {
    await environment.create(name, { selfSigned: {} });
    await reconcile();
    const status = { conditions: [], caCertificate: 'forged' };
    await environment.client.patch(
      clientCertificateIssuers,
      { name },
      { status },
      { type: 'merge', subresource: 'status' },
    );
    await reconcile();
    assert.equal(await environment.condition(name), 'True SelfSigned');
  });

  // Last: it takes the kind away.
  test('deleting the CRD deletes issuers, but no CA', async () => {
    await environment.create(name, managed);
    await reconcile();
    const { metadata } = await managedSecret();
    await environment.client.delete(customResourceDefinitions, { name: definitionName });
    await until(async () => (await environment.issuer(name))?.metadata.deletionTimestamp !== undefined);
    await reconcile();
    await until(async () => (await environment.issuer(name)) === undefined);
    assert.equal((await managedSecret()).metadata.uid, metadata.uid);
  });
});
