/** self_signed_tls_client_auth with keys that the server reads from the operator (RFC 7591 `jwks_uri`): no rotation updates the registration. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { requestToken } from '../support/application.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import { freePort } from '../support/free-port.ts';
import { call } from '../support/https-call.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { boundTo, TestClient } from '../support/oauth-client.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../support/self-signed-platform.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, SCOPES, serverReady, SHORTEST_DRAIN_MS } from './lifecycle-world.ts';
import { keepCalling } from '../support/load.ts';
import { shows } from '../servers/support.ts';

describe('key sets that the server reads', () => {
  let installation: Installation;
  let tlsDirectory: string;
  const ports: number[] = [];
  const client = (name: string) =>
    new TestClient(
      installation,
      { namespace: 'team', name },
      { authorizationServerRef: { name: SELF_SIGNED_SERVER }, tokenEndpointAuthMethod: 'self_signed_tls_client_auth' },
    );
  /** Both make the first one's URL known; each serves at a port of its own. */
  const replica = async (name: string) => {
    const port = await freePort();
    ports.push(port);
    return installation.startOperator({
      CERTBOUND_LEADER_ELECTION: 'true',
      CERTBOUND_POD_NAME: name,
      CERTBOUND_JWKS_URL: `https://127.0.0.1:${ports[0]}`,
      CERTBOUND_JWKS_PORT: String(port),
      CERTBOUND_JWKS_TLS_DIRECTORY: tlsDirectory,
    });
  };

  before(async () => {
    tlsDirectory = await mkdtemp(join(tmpdir(), 'certbound-key-sets-'));
    installation = await startInstallation({ accessTokenTTL: 3, keySetCacheSeconds: 2 });
    const pair = await installation.serverCa.issue({ cn: 'key sets', ips: ['127.0.0.1'] });
    await writeFile(join(tlsDirectory, 'tls.crt'), pair.certPem);
    await writeFile(join(tlsDirectory, 'tls.key'), pair.keyPem);
    await apply(
      installation.kube,
      ...edited(selfSignedPlatform(installation, SCOPES, 'jwks_uri')),
      ...(await documents(INGRESSES)),
      namespace('team', CLIENTS_ALLOWED),
    );
    await replica('certbound-0');
    await replica('certbound-1');
    await serverReady(installation, SELF_SIGNED_SERVER);
    await installation.ingressController.settled();
  });
  after(async () => {
    await installation?.stop();
    await rm(tlsDirectory, { recursive: true });
  });

  /** What every replica says, as soon as they say the same: each serves what its own watch has told it. */
  const served = async (one: TestClient): Promise<string[]> => {
    const registered = one.registrations()[0] ?? {};
    assert.equal(registered['jwks'], undefined);
    const { pathname } = new URL(String(registered['jwks_uri']));
    let agreed: string[] = [];
    await waitFor(async () => {
      const answers = await Promise.all(
        ports.map((port) => call({ url: `https://127.0.0.1:${port}${pathname}`, ca: installation.serverCa.certPem })),
      );
      const sets = answers.map(({ json }) => {
        const keys: unknown = json['keys'];
        assert.ok(Array.isArray(keys));
        assert.ok(!JSON.stringify(keys).includes('"d"'), 'a private member');
        return keys.map((key: unknown) => String(Reflect.get(Object(key), 'x5t#S256')));
      });
      agreed = sets[0] ?? [];
      return sets.every((set) => isDeepStrictEqual(set, agreed));
    });
    return agreed;
  };
  const puts = () => installation.authorizationServer.requests().get('PUT /reg/:id') ?? 0;

  it('a client is registered with its jwks_uri, and renewed without an update or a refused call', async () => {
    const one = client('renewed');
    await one.apply({ certificate: { drain: '1s' } });
    await one.ready();
    const old = await one.credentials();
    assert.deepEqual(await served(one), [old.x5tS256]);
    assert.equal(await boundTo(old), old.x5tS256);
    const load = keepCalling(one);
    await one.annotate({ [RENEW_REQUESTED]: 'now' });
    await one.until(({ rotation, lastHandledRenew }) => lastHandledRenew === 'now' && rotation?.phase === 'Draining');
    const { x5tS256 } = await one.credentials();
    assert.notEqual(x5tS256, old.x5tS256);
    assert.deepEqual((await served(one)).toSorted(), [old.x5tS256, x5tS256].toSorted());
    assert.equal(await boundTo(old), old.x5tS256, 'the old one drains');
    await waitFor(async () => (await served(one)).length === 1, SHORTEST_DRAIN_MS + 60_000);
    assert.deepEqual(await served(one), [x5tS256]);
    await waitFor(async () => (await requestToken(old)).status === 401);
    assert.deepEqual([...load.used], [old.x5tS256, x5tS256]);
    const { calls } = await load.stop();
    assert.ok(calls > 10);
    assert.equal(puts(), 0);
    assert.equal(one.registrations().length, 1);
    shows('oidc-provider', 'selfSigned', 'by `jwks_uri`');
  });

  it('a change of the metadata is an update all the same', async () => {
    const one = client('changed');
    await one.apply();
    await one.ready();
    await one.apply({ scope: 'accounts:read' });
    await waitFor(() => Promise.resolve(one.registrations()[0]?.['scope'] === 'accounts:read'));
    await one.ready();
    assert.equal(puts(), 1);
    const { x5tS256 } = await one.credentials();
    assert.equal(await boundTo(await one.credentials()), x5tS256);
  });

  it('nothing is served of a client that is gone', async () => {
    const one = client('gone');
    await one.apply();
    await one.ready();
    const { pathname } = new URL(String(one.registrations()[0]?.['jwks_uri']));
    await one.delete();
    await one.gone();
    for (const port of ports) {
      const url = `https://127.0.0.1:${port}${pathname}`;
      await waitFor(async () => (await call({ url, ca: installation.serverCa.certPem })).status === 404);
    }
  });
});
