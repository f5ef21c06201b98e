/** A client's life while all goes well: created, changed, renewed, deleted. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMPROMISED, FINALIZER, RENEW_REQUESTED, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { configMaps, type KubernetesObject } from '../../src/kube/resource.ts';
import type { ClientRecord } from '../../src/oauthclient/record.ts';
import { requestToken } from '../support/application.ts';
import { assertClientCertificate } from '../support/issued-certificate.ts';
import { boundTo, isTrue, type TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { observe, operatorWrites, SHORTEST_DRAIN_MS, type LifecycleWorld } from './lifecycle-world.ts';
import { keepCalling } from '../support/load.ts';
import { shows } from '../servers/support.ts';

type World = () => LifecycleWorld;
const hour = 3_600_000;
/** Renewed after five to ten seconds. */
const SHORT_LIVED = { duration: '5m', renewBefore: '4m50s' };

async function claimsOf(world: LifecycleWorld, client: TestClient): Promise<KubernetesObject[]> {
  const query = { namespace: 'certbound-system', labelSelector: `${ROLE_LABEL}=${Role.claim}` };
  const { items } = await world.installation.kube.list(configMaps, query);
  const holder = `${client.ref.namespace}/${client.ref.name}`;
  return items.filter((item) => Reflect.get(Object(item['data']), 'holder') === holder);
}

/** One client at the server, one certificate published, and a token that is bound to it. */
async function assertWorks(client: TestClient, clientId?: string): Promise<string> {
  const credentials = await client.credentials();
  assert.equal(await boundTo(credentials), credentials.x5tS256);
  const registered = client.registrations().map((registration) => registration['client_id']);
  assert.deepEqual(registered, [credentials.clientId]);
  if (clientId !== undefined) assert.equal(credentials.clientId, clientId);
  return credentials.x5tS256;
}

/** The thumbprints of the keys that the server holds; none for tls_client_auth. */
export function registeredKeys(client: TestClient): string[] {
  const jwks: unknown = client.registrations()[0]?.['jwks'];
  const keys: unknown = Reflect.get(Object(jwks), 'keys');
  return Array.isArray(keys) ? keys.map((key: unknown) => String(Reflect.get(Object(key), 'x5t#S256'))) : [];
}

/** What renews every few seconds would never let its world come to rest. */
async function removed(client: TestClient): Promise<void> {
  await client.delete();
  await client.gone();
}

const isSecret = ({ resource }: { resource: string }) => resource === 'secrets';

const drains = (replacedAt = '') => Date.parse(replacedAt) + SHORTEST_DRAIN_MS > Date.now();

/** Alone in its world, so that every request and every write is its own. */
export function creationCases(world: World): void {
  it('registers only what is stored, stores the answer before anything else, publishes only what was proved', async () => {
    const client = world().client('order');
    const look = async () => ({
      record: await client.record(),
      published: await client.secret(),
      finalizers: (await client.object())?.metadata.finalizers,
      claims: await claimsOf(world(), client),
      at: new Date(),
    });
    type Sight = Awaited<ReturnType<typeof look>>;
    const registrations: Sight[] = [];
    const proofs: Sight[] = [];
    observe(world(), async ({ method, route }) => {
      if (method === 'POST' && route === '/reg') registrations.push(await look());
      if (method === 'POST' && ['/token', '/token/revocation'].includes(route)) proofs.push(await look());
    });
    const since = new Date();
    await client.apply();
    await client.ready();
    world().installation.authorizationServer.setFault(undefined);

    assert.equal(registrations.length, 1);
    const [atRegistration] = registrations;
    const bySubject = world().method === 'tls_client_auth';
    assert.ok(atRegistration !== undefined);
    assert.ok(atRegistration.finalizers?.includes(FINALIZER));
    // A registration that names a key is announced where the key is stored; one that names a subject, where that is claimed.
    const announced = atRegistration.claims.map((claim) => typeof Reflect.get(Object(claim['data']), 'intent'));
    assert.deepEqual(announced, bySubject ? ['string'] : []);
    assert.equal(atRegistration.record?.state.intent?.operation, bySubject ? undefined : 'create');
    assert.ok(proofs.length >= 3, 'three proofs');
    const [first] = bySubject ? proofs : registrations;
    const staged = first?.record?.state.certificates ?? [];
    assert.deepEqual(
      staged.map((c) => c.role),
      ['Next'],
    );
    const [next] = staged;
    assert.ok(next !== undefined && keyOf(first?.record, next.x5tS256) !== undefined, 'the key is stored');
    for (const sight of proofs) {
      assert.ok(sight.record !== undefined);
      assert.equal(sight.record.state.registration?.clientId, client.registrations()[0]?.['client_id']);
      assert.ok(sight.record.material.registration?.registrationAccessToken !== undefined);
      assert.equal(sight.record.state.intent, undefined);
      assert.equal(sight.published, undefined, 'nothing is published before it is proved');
    }
    const publication = async () =>
      (await operatorWrites(world(), since)).find((e) => e.namespace === 'team' && isSecret(e));
    await waitFor(async () => (await publication()) !== undefined);
    const writes = (await operatorWrites(world(), since)).filter(isSecret);
    assert.deepEqual(
      writes.map((e) => `${e.verb} ${e.namespace} ${e.code}`),
      [
        'create certbound-system 201',
        ...(bySubject ? [] : ['update certbound-system 200']),
        'update certbound-system 200',
        'create team 201',
      ],
    );
    const published = await publication();
    assert.ok(published !== undefined && proofs.every(({ at }) => at <= published.receivedAt));
    assert.equal((await client.values())['x5t_s256'], next.x5tS256, 'what was staged first is what is published');
  });
}

function keyOf(record: ClientRecord | undefined, x5tS256: string): string | undefined {
  return record?.material.certificates[x5tS256]?.privateKeyPem;
}

export function lifeCases(world: World): void {
  it('publishes one Secret that is all an application needs', async () => {
    const { method, installation } = world();
    const after = Date.now();
    const client = await world().client('create').apply();
    const status = await client.ready();
    const before = Date.now();
    for (const type of ['CertificateReady', 'Registered', 'Proved', 'TerminatorsReady', 'Ready']) {
      assert.ok(isTrue(status, type), type);
    }
    assert.ok(!isTrue(status, 'Stalled'));
    assert.equal(status.rotation?.phase, 'Settled');
    assert.deepEqual(
      status.certificates?.map((c) => c.role),
      ['Published'],
    );

    const secret = await client.publishedSecret();
    const values = await client.values();
    shows('oidc-provider', 'driver', '`dynamicRegistration` (RFC 7591, RFC 7592)');
    assert.equal(secret['type'], 'kubernetes.io/tls');
    const host = method === 'tls_client_auth' ? 'mtls' : 'selfSigned';
    const keys = ['ca.crt', 'client-ca.crt', 'client_id', 'issuer', 'tls-bundle.pem', 'tls.crt', 'tls.key'];
    assert.deepEqual(Object.keys(values).toSorted(), [...keys, 'token_endpoint', 'x5t_s256']);
    assert.equal(values['token_endpoint'], `${installation.origin(host)}/token`);
    assert.equal(values['issuer'], installation.origin('browser'));
    assert.equal(values['client_id'], status.clientId);
    assert.equal(values['ca.crt'], installation.serverCa.certPem);
    const object = await client.object();
    assert.deepEqual(secret.metadata.ownerReferences, [
      {
        apiVersion: 'certbound.dev/v1alpha1',
        kind: 'OAuthClient',
        name: 'create',
        uid: object?.metadata.uid,
        controller: true,
        blockOwnerDeletion: false,
      },
    ]);
    await assertClientCertificate(values, {
      subject: 'CN=create,O=team',
      durationMs: 720 * hour,
      signed: { after, before },
    });
    const x5tS256 = await assertWorks(client, status.clientId);
    const [registration] = client.registrations();
    assert.equal(registration?.['token_endpoint_auth_method'], method);
    assert.equal(registration?.['tls_client_certificate_bound_access_tokens'], true);
    const subject = registration?.['tls_client_auth_subject_dn'];
    assert.equal(subject, method === 'tls_client_auth' ? 'CN=create,O=team' : undefined);
    assert.deepEqual(registeredKeys(client), method === 'tls_client_auth' ? [] : [x5tS256]);
    assert.equal((await claimsOf(world(), client)).length, method === 'tls_client_auth' ? 1 : 0);
    assert.deepEqual(Object.keys((await client.record())?.material.certificates ?? {}), [x5tS256]);
  });

  it('changes the registration when the spec changes, and neither client nor certificate', async () => {
    const client = await world().client('scope').apply({ scope: 'accounts:read' });
    const { clientId } = await client.ready();
    const before = await client.values();
    assert.equal(client.registrations()[0]?.['scope'], 'accounts:read');
    await assert.rejects(boundTo(await client.credentials(), { scope: 'accounts:write' }), /invalid_scope/);
    await client.apply({ scope: 'accounts:read accounts:write' });
    await client.ready();
    assert.equal(client.registrations()[0]?.['scope'], 'accounts:read accounts:write');
    await boundTo(await client.credentials(), { scope: 'accounts:write' });
    await assertWorks(client, clientId);
    assert.deepEqual(await client.values(), before);
    shows('oidc-provider', 'update', 'updates the client, which stays the same');
  });

  it('rotates when key or duration change; the old certificate works on', async () => {
    const client = await world().client('key').apply();
    const { clientId } = await client.ready();
    const old = await client.credentials();
    const load = keepCalling(client);
    const after = Date.now();
    await client.apply({ certificate: { privateKey: { algorithm: 'RSA', size: 2048 } } });
    // Published, not only begun: what is begun makes way for the next change.
    await client.until((s) => s.certificates?.length === 2 && s.rotation?.phase === 'Draining');
    await client.apply({ certificate: { privateKey: { algorithm: 'RSA', size: 2048 }, duration: '48h' } });
    const status = await client.until(
      ({ certificates, rotation }) => certificates?.length === 3 && rotation?.phase === 'Draining',
    );
    const x5tS256 = await assertWorks(client, clientId);
    await waitFor(() => load.used.has(x5tS256));
    assert.ok((await load.stop()).calls > 0);

    const values = await client.values();
    const signed = { after, before: Date.now() };
    await assertClientCertificate(values, { subject: 'CN=key,O=team', durationMs: 48 * hour, signed });
    assert.equal(new X509Certificate(values['tls.crt'] ?? '').publicKey.asymmetricKeyType, 'rsa');
    assert.equal(status.rotation?.reason, 'DurationChanged');
    assert.equal(await boundTo(old), old.x5tS256);
    const live = status.certificates?.map((c) => c.x5tS256) ?? [];
    assert.ok(live.includes(old.x5tS256));
    assert.deepEqual(registeredKeys(client).toSorted(), world().method === 'tls_client_auth' ? [] : live.toSorted());
    shows('oidc-provider', 'token', 'yes');
    shows('oidc-provider', 'rotation', 'none');
    if (world().method !== 'tls_client_auth') shows('oidc-provider', 'selfSigned', 'by `jwks`');
  });

  it('renews once for each new value of the annotation', async () => {
    const client = await world().client('annotated').apply();
    const { clientId } = await client.ready();
    const old = await client.credentials();
    await client.annotate({ [RENEW_REQUESTED]: 'first' });
    const status = await client.until((s) => s.lastHandledRenew === 'first' && s.rotation?.phase === 'Draining');
    assert.equal(status.rotation?.reason, 'RenewRequested');
    const renewed = await assertWorks(client, clientId);
    assert.notEqual(renewed, old.x5tS256);
    assert.equal(await boundTo(old), old.x5tS256);
    await client.annotate({ [RENEW_REQUESTED]: 'first', unrelated: 'change' });
    await sleep(1000);
    assert.equal((await client.ready()).certificates?.length, 2);
    assert.equal(await assertWorks(client, clientId), renewed);
  });

  it('replaces a certificate that is reported compromised, and has it refused where it can be', async () => {
    const client = await world().client('compromised').apply();
    const { clientId } = await client.ready();
    const old = await client.credentials();
    await client.annotate({ [COMPROMISED]: old.x5tS256 });
    const isReplaced = async () => (await client.credentials()).x5tS256 !== old.x5tS256;
    await waitFor(isReplaced, 60_000);
    // The Secret is written before status tells of it.
    const { certificates } = await client.until(
      (status) =>
        status.rotation?.reason === 'Compromised' && isTrue(status, 'Ready') && !isTrue(status, 'Reconciling'),
    );
    assert.deepEqual(
      certificates?.map(({ role }) => role),
      ['Published'],
      'nothing of it drains',
    );
    const renewed = await assertWorks(client, clientId);
    const record = await client.record();
    assert.ok(record !== undefined && keyOf(record, old.x5tS256) === undefined, 'the key is destroyed');
    assert.equal((await requestToken(old)).json['error'], 'invalid_client');
    const byDn = world().method === 'tls_client_auth';
    if (byDn) {
      const { tls_client_auth_subject_dn: subject } = client.registrations()[0] ?? {};
      assert.equal(subject, 'CN=compromised,OU=generation-1,O=team');
    } else assert.deepEqual(registeredKeys(client), [renewed]);
    // What it was called stays its own until the last certificate of that name ends.
    const end = new X509Certificate(old.certificate.certPem).validToDate.getTime();
    const expiries = (await claimsOf(world(), client)).map(({ data }) => Reflect.get(Object(data), 'expires'));
    const released = expiries.filter((expires) => expires !== undefined).map((expires) => Date.parse(String(expires)));
    assert.deepEqual([expiries.length, released], byDn ? [2, [end]] : [0, []]);
    await client.delete();
    await client.gone();
    for (const claim of await claimsOf(world(), client)) {
      assert.ok(Date.parse(String(Reflect.get(Object(claim['data']), 'expires'))) >= end);
    }
    if (!byDn) return;
    // Registered under that name again, it would be whoever has the key.
    await client.apply();
    await client.until(({ conditions }) => conditions?.some(({ reason }) => reason === 'IdentityTaken') === true);
    assert.deepEqual(client.registrations(), []);
    await client.delete();
    await client.gone();
  });

  it('renews in time, at most three certificates at once, then waits', async (t) => {
    const client = await world().client('short').apply({ certificate: SHORT_LIVED });
    t.after(() => removed(client));
    const { clientId } = await client.ready();
    const load = keepCalling(client);
    const first = await client.credentials();
    const status = await client.until(({ certificates = [], conditions = [] }) => {
      assert.ok(certificates.length <= 3);
      return conditions.some(({ reason }) => reason === 'RotationWaits');
    });
    assert.ok(isTrue(status, 'Ready'));
    assert.deepEqual(status.certificates?.map((c) => c.role).toSorted(), ['Draining', 'Draining', 'Published']);
    await assertWorks(client, clientId);
    assert.equal(await boundTo(first), first.x5tS256);
    await load.stop();
    assert.equal(load.used.size, 3);
  });

  it('drains as asked, but never shorter than tokens live, then destroys the old key', async (t) => {
    const client = await world()
      .client('drain')
      .apply({ certificate: { ...SHORT_LIVED, drain: '1s' } });
    t.after(() => removed(client));
    const { clientId } = await client.ready();
    const old = await client.credentials();
    const load = keepCalling(client);
    const status = await client.until(({ certificates = [] }) =>
      certificates.some((c) => c.x5tS256 === old.x5tS256 && c.role === 'Draining'),
    );
    const draining = status.certificates?.find((c) => c.x5tS256 === old.x5tS256);
    const replaced = status.certificates?.find((c) => c.role === 'Published');
    assert.ok(draining?.retireAt !== undefined && replaced !== undefined);
    // The proof that replaced it came after the successor was signed.
    const signed = Date.parse(replaced.notAfter) - 5 * 60_000;
    assert.ok(Date.parse(draining.retireAt) >= signed + SHORTEST_DRAIN_MS - 1000);
    await client.until(({ certificates = [] }) => {
      assert.ok(certificates.length <= 3);
      return load.used.size >= 4;
    });
    await assertWorks(client, clientId);
    await load.stop();
    const record = await client.record();
    assert.ok(record !== undefined && keyOf(record, old.x5tS256) === undefined, 'the key is destroyed');
    const live = record.state.certificates
      .filter((c) => c.role !== 'Draining' || drains(c.replacedAt))
      .map((c) => c.x5tS256);
    if (world().method === 'self_signed_tls_client_auth') {
      assert.ok(live.every((x5t) => registeredKeys(client).includes(x5t)));
      assert.ok(!registeredKeys(client).includes(old.x5tS256));
      assert.equal((await requestToken(old)).json['error'], 'invalid_client');
    }
  });

  it('leaves nothing behind when it is deleted', async () => {
    const client = await world().client('deleted').apply();
    await client.ready();
    const credentials = await client.credentials();
    await client.delete();
    await client.gone();
    assert.deepEqual(client.registrations(), []);
    assert.equal(await client.secret(), undefined);
    assert.equal(await client.ownSecret(), undefined);
    assert.equal((await requestToken(credentials)).json['error'], 'invalid_client');
    shows('oidc-provider', 'deletion', 'deletes the client');
    const notAfter = new X509Certificate(credentials.certificate.certPem).validToDate.getTime();
    for (const claim of await claimsOf(world(), client)) {
      // A certificate that names it is still valid: nobody else may have the identity until it ends.
      assert.equal(Date.parse(String(Reflect.get(Object(claim['data']), 'expires'))), notAfter);
    }
  });
}
