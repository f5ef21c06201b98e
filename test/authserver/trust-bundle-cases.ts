/** What the AuthorizationServer kind publishes for a server that validates certificates itself (spec.trustBundle). */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import { OPT_IN, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { TrustMemory } from '../../src/authserver/trust-bundle/observed.ts';
import { publishTrust } from '../../src/authserver/trust-bundle/steps.ts';
import { type KubernetesObject, namespaces, secrets } from '../../src/kube/resource.ts';
import { distribution } from '../../src/terminator/distribution.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { isEmptyTrust } from '../../src/x509/trust.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import type { ServerWorld } from './server-world.ts';
import { lasting } from './servers.ts';

const PUBLISHED = 'TrustBundlePublished';
const first = await createThrowawayCa('First Clients');
const second = await createThrowawayCa('Second Clients');
const sha256 = (pem: string) => createHash('sha256').update(new X509Certificate(pem).raw).digest('hex');
let count = 0;

/** Inside the suite of the kind, so that they share its API server. */
export function trustBundleCases(world: ServerWorld): void {
  const { clock, create, change, reconcile, state } = world;
  const use = (users: number) => world.clients.set(world.name, users);
  const place = (namespace: string) => ({ namespace, name: `${world.name}-client-cas` });
  const at = (namespace: string) => world.client.get(secrets, place(namespace));
  const pemIn = (object: KubernetesObject | undefined): string => {
    const data: unknown = object?.['data'];
    const text: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, 'ca.crt') : undefined;
    return typeof text === 'string' ? Buffer.from(text, 'base64').toString() : '';
  };
  const makeNamespace = async () => {
    const name = `identity-${++count}`;
    await world.client.create(namespaces, { metadata: { name } });
    await waitFor(() => world.trustCaches.namespaces.get(undefined, name) !== undefined);
    return name;
  };
  /** As its reconciler leaves it. */
  const issuer = async (name: string, caCertificate?: string) => {
    const created = await world.client.create(clientCertificateIssuers, {
      metadata: { name },
      spec: { ca: { secretRef: { name } } },
    });
    if (caCertificate !== undefined) {
      const { resourceVersion = '' } = created.metadata;
      await world.client.updateStatus(clientCertificateIssuers, {
        metadata: { name, resourceVersion },
        status: { caCertificate },
      });
    }
    const isKnown = () => world.trustCaches.issuers.get(undefined, name)?.status?.caCertificate === caCertificate;
    await waitFor(() => world.trustCaches.issuers.get(undefined, name) !== undefined && isKnown());
    return name;
  };
  const seen = async (namespace: string) => {
    const { resourceVersion } = (await at(namespace))?.metadata ?? {};
    const cached = () =>
      world.trustCaches.bundles.get('Secret', namespace, place(namespace).name)?.resourceVersion === resourceVersion;
    await waitFor(cached);
  };
  const edit = async (namespace: string, change_: Record<string, unknown>) => {
    await world.client.patch(secrets, place(namespace), change_, { type: 'merge' });
    await seen(namespace);
  };
  const setUp = async (issuers: readonly string[] = []) => {
    const namespace = await makeNamespace();
    const own = issuers.length > 0 ? issuers : [await issuer(`clients-${count}`, first.certPem)];
    await create({ trustBundle: { namespace }, clients: { issuers: [...own] } });
    await reconcile();
    return { namespace, issuers: own };
  };
  const message = async () => (await world.conditionOf(PUBLISHED))?.message ?? '';
  const verdict = async (caPem: string) => {
    const server = (await world.live()) ?? assert.fail();
    const terminators = world.reconciler.trustViews(server);
    const { state: of, ...more } = distribution({ server, caSha256: sha256(caPem), terminators });
    return 'reason' in more ? `${of} ${more.reason}` : of;
  };

  describe('the trust bundle of a server that validates certificates itself', () => {
    test('is a Secret of ours with the CAs of the granted issuers, and rests', async () => {
      const { namespace } = await setUp();
      const found = (await at(namespace)) ?? assert.fail();
      assert.equal(pemIn(found), caBundle([first.certPem]).pem);
      assert.equal(found['type'], 'Opaque');
      assert.deepEqual(found.metadata.labels, { [ROLE_LABEL]: Role.trustBundle });
      assert.deepEqual(found.metadata.annotations, { [OPT_IN]: world.name });
      assert.deepEqual([await state(), await state(PUBLISHED)], ['True Ready', 'True Published']);
      assert.match(
        await message(),
        new RegExp(`^Secret ${namespace}/${world.name}-client-cas holds, in ca\\.crt, the CA`),
      );
      assert.equal(await verdict(first.certPem), 'distributed');
      assert.equal(await verdict(second.certPem), 'waiting TerminatorsPending');
      const { resourceVersion } = (await world.live())?.metadata ?? {};
      await reconcile();
      assert.equal((await at(namespace))?.metadata.resourceVersion, found.metadata.resourceVersion);
      assert.equal((await world.live())?.metadata.resourceVersion, resourceVersion);
    });

    test('follows the grants: a CA is there before it is used, and one that is granted no more goes; it is never empty', async () => {
      const { namespace, issuers } = await setUp();
      const added = await issuer(`second-${count}`, second.certPem);
      await change({ clients: { issuers: [...issuers, added] } });
      await reconcile();
      assert.equal(pemIn(await at(namespace)), caBundle([first.certPem, second.certPem]).pem);
      assert.match(await message(), /the 2 CA certificates of the granted issuers/);
      assert.equal(await verdict(second.certPem), 'distributed');
      await change({ clients: { issuers: [added] } });
      await reconcile();
      assert.equal(pemIn(await at(namespace)), caBundle([second.certPem]).pem);
      await change({ clients: { issuers: [] } });
      await reconcile();
      const nobody = await at(namespace);
      assert.ok(isEmptyTrust(pemIn(nobody)), pemIn(nobody));
      assert.match(await message(), /nobody is trusted/);
      await reconcile();
      assert.equal((await at(namespace))?.metadata.resourceVersion, nobody?.metadata.resourceVersion);
    });

    test('waits for an issuer that has no CA yet, and stays as it is meanwhile', async () => {
      const waiting = await issuer(`waiting-${count}`);
      const { namespace } = await setUp([waiting]);
      assert.equal(await at(namespace), undefined);
      assert.deepEqual([await state(), await state(PUBLISHED)], ['True Ready', 'Unknown IssuerNotReady']);
    });

    test('is put right when it is edited by hand, ever less often, and who does it is named', async () => {
      const { namespace } = await setUp();
      const right = pemIn(await at(namespace));
      const wrong = { data: { 'ca.crt': btoa(second.certPem), more: btoa('x') } };
      for (const time of [1, 2, 3]) {
        await edit(namespace, wrong);
        await reconcile();
        assert.equal(pemIn(await at(namespace)), right, `${time}`);
        await seen(namespace);
      }
      await edit(namespace, wrong);
      const { requeueAfterMs = 0 } = await reconcile();
      assert.deepEqual([await state(), await state(PUBLISHED)], ['True Ready', 'False TrustBundleReverted']);
      assert.match(await message(), /written again, ever less often/);
      assert.equal(await verdict(first.certPem), 'blocked TrustBundleReverted');
      clock.advance(requeueAfterMs);
      await reconcile();
      assert.equal(pemIn(await at(namespace)), right);
      assert.equal(await state(PUBLISHED), 'True Published');
    });

    test('is put right also where the cache does not know yet of the last edit, but not where it is ours no longer', async () => {
      const { namespace } = await setUp();
      const right = pemIn(await at(namespace));
      await edit(namespace, { data: { 'ca.crt': btoa('first') } });
      const behind = world.trustCaches.bundles.get('Secret', namespace, place(namespace).name);
      assert.ok(behind !== undefined);
      const again = (labels: Record<string, string> | undefined) =>
        world.client.patch(
          secrets,
          place(namespace),
          { metadata: labels === undefined ? {} : { labels }, data: { 'ca.crt': btoa('second') } },
          { type: 'merge' },
        );
      const write = () =>
        publishTrust(
          { client: world.client, bundles: world.trustCaches.bundles, trustMemory: new TrustMemory(), clock },
          { name: 'publishTrust', ref: place(namespace), pem: right, current: behind },
          world.name,
          lasting(),
        );
      await again(undefined);
      await write();
      assert.equal(pemIn(await at(namespace)), right);
      await again({ [ROLE_LABEL]: 'somebody-elses' });
      await assert.rejects(write(), { code: 'KubernetesConflict' });
      assert.equal(pemIn(await at(namespace)), 'second');
    });

    test('never takes the name of what is somebody else’s', async () => {
      const namespace = await makeNamespace();
      const theirs = await world.client.create(secrets, {
        metadata: place(namespace),
        data: { 'ca.crt': btoa('theirs') },
      });
      const own = await issuer(`clients-${count}`, first.certPem);
      await create({ trustBundle: { namespace }, clients: { issuers: [own] } });
      const { requeueAfterMs = 0 } = await reconcile();
      assert.deepEqual([await state(), await state(PUBLISHED)], ['True Ready', 'False TrustBundleNameTaken']);
      assert.equal(await state('Discovered'), 'True Discovered');
      assert.match(await message(), /rename or delete it/);
      assert.equal(await verdict(first.certPem), 'blocked TrustBundleNameTaken');
      assert.deepEqual(await at(namespace), theirs);
      assert.ok(requeueAfterMs > 0 && requeueAfterMs <= 30_000, `${requeueAfterMs}`);
      await world.client.delete(secrets, place(namespace));
      clock.advance(requeueAfterMs);
      await reconcile();
      assert.equal(pemIn(await at(namespace)), caBundle([first.certPem]).pem);
    });

    test('says where it cannot be written', async () => {
      const own = await issuer(`clients-${++count}`, first.certPem);
      await create({ trustBundle: { namespace: 'nowhere' }, clients: { issuers: [own] } });
      await reconcile();
      assert.equal(await state(PUBLISHED), 'False NamespaceMissing');
      world.serve(['somewhere']);
      try {
        await reconcile();
        assert.equal(await state(PUBLISHED), 'False NamespaceNotServed');
        assert.match(
          await message(),
          new RegExp(
            `list it in scope\\.namespaces.*kubectl --namespace nowhere delete secret ${world.name}-client-cas$`,
          ),
        );
      } finally {
        world.serve([]);
      }
    });

    test('moves with its namespace, and goes with the field', async () => {
      const { namespace } = await setUp();
      const next = await makeNamespace();
      await change({ trustBundle: { namespace: next } });
      await reconcile();
      assert.equal(pemIn(await at(next)), caBundle([first.certPem]).pem);
      assert.equal(await at(namespace), undefined);
      await change({ trustBundle: null });
      await reconcile();
      assert.equal(await at(next), undefined);
      assert.deepEqual([await state(), await state(PUBLISHED)], ['True Ready', undefined]);
      assert.equal(await verdict(second.certPem), 'distributed', 'there is nothing to wait for');
    });

    for (const step of ['publishTrust', 'withdrawTrust']) {
      test(`is the same in the end where the operator is killed before or after ${step}`, async () => {
        const alive = () => undefined;
        const die = (_kind: string, name: string) => {
          if (name === step) throw new Error('killed');
        };
        const namespace = await makeNamespace();
        const own = await issuer(`clients-${count}`, first.certPem);
        await create({ trustBundle: { namespace }, clients: { issuers: [own] } });
        for (const mortal of [
          { before: die, after: alive },
          { before: alive, after: die },
        ]) {
          await change({ trustBundle: { namespace } });
          if (step === 'publishTrust') await assert.rejects(reconcile(world.freshReconciler(mortal)), /killed/);
          await reconcile();
          assert.equal(pemIn(await at(namespace)), caBundle([first.certPem]).pem);
          await change({ trustBundle: null });
          if (step === 'withdrawTrust') await assert.rejects(reconcile(world.freshReconciler(mortal)), /killed/);
          await reconcile();
          assert.equal(await at(namespace), undefined);
        }
      });
    }

    test('stays while clients use a server that is deleted, and is gone before the server', async () => {
      const { namespace, issuers } = await setUp();
      use(1);
      await world.client.delete(authorizationServers, { name: world.name });
      const added = await issuer(`second-${count}`, second.certPem);
      await change({ clients: { issuers: [...issuers, added] } });
      await reconcile();
      assert.equal(pemIn(await at(namespace)), caBundle([first.certPem, second.certPem]).pem);
      use(0);
      await reconcile();
      assert.equal(await at(namespace), undefined);
      assert.equal(await world.live(), undefined);
    });
  });
}
