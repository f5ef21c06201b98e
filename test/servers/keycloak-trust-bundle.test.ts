/** Keycloak whose truststore is the Secret that `spec.trustBundle` publishes, through a change of CAs. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { authorizationServers } from '../../src/api/resources.ts';
import { secrets } from '../../src/kube/resource.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { type ClientCredentials, requestToken, secretValues } from '../support/application.ts';
import { apply, opaqueSecret } from '../support/cluster-objects.ts';
import { CLIENTS_ALLOWED } from '../support/installation.ts';
import { RELOAD_SECONDS } from '../support/keycloak.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { type KeycloakWorld, startKeycloakWorld } from './keycloak-world.ts';

const limitMs = 300_000;
/** The mount's lag, and Keycloak's own. */
const propagation = `${RELOAD_SECONDS + 10}s`;

describe('Keycloak with a truststore that Certbound publishes', () => {
  let world: KeycloakWorld;
  let next: ThrowawayCa;

  before(async () => {
    next = await createThrowawayCa('Corporate OAuth Clients, second');
    world = await startKeycloakWorld('its own TLS', { trustBundle: true, spec: { propagation } });
    await world.serverBecomes('corporate', 'True', 'Ready');
    // A drain lasts as long as tokens at least.
    await world.realm.admin('PUT', '', { accessTokenLifespan: 5 });
  });
  after(() => world?.stop());

  const grants = async (issuers: readonly string[]) => {
    await world.kube.patch(
      authorizationServers,
      { name: 'corporate' },
      { spec: { clients: { issuers } } },
      { type: 'merge' },
    );
  };
  const published = async () => {
    const secret = await world.kube.get(secrets, { namespace: 'identity', name: 'corporate-client-cas' });
    return secret === undefined ? '' : secretValues(secret)['ca.crt'];
  };
  const holds = async (...cas: ThrowawayCa[]) => {
    const { pem } = caBundle(cas.map(({ certPem }) => certPem));
    await waitFor(async () => (await published()) === pem, 60_000);
    await waitFor(() => world.mounted?.files['ca.crt'] === pem, 60_000);
  };
  const secondIssuer = async () => {
    const ref = { namespace: 'certbound-system', name: 'second-ca' };
    await apply(
      world.kube,
      opaqueSecret(ref, { 'tls.crt': next.certPem, 'tls.key': next.keyPem }, 'kubernetes.io/tls'),
      {
        apiVersion: 'certbound.dev/v1alpha1',
        kind: 'ClientCertificateIssuer',
        metadata: { name: 'second' },
        spec: {
          ca: { secretRef: { name: ref.name } },
          policy: { namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } } },
        },
      },
    );
  };

  it('refuses no call while its clients move from one CA to another', async () => {
    await holds(world.clientCa);
    const certificate = { duration: '24h', drain: '5s' };
    const client = await world.client('moving', { certificate }).apply();
    await client.ready(limitMs);
    const former = await client.credentials();
    const load = keepCalling(client);
    try {
      await secondIssuer();
      await grants(['corporate-clients', 'second']);
      await holds(world.clientCa, next);
      await client.apply({ certificate: { ...certificate, issuerRef: { name: 'second' } } });
      await waitFor(() => load.used.size === 2, limitMs);
      await client.until(({ certificates = [] }) => certificates.length === 1, limitMs);
      await grants(['second']);
      await holds(next);
      // It is Keycloak's TLS that knows the first CA no longer.
      await waitFor(async () => /alert/.test(await outcomeOf(former)), limitMs);
      const { calls } = load;
      await waitFor(() => load.calls > calls + 10, limitMs);
    } finally {
      await load.stop();
    }
    assert.ok(load.longestResetMs < 10_000, `connections were closed for ${load.longestResetMs} ms`);
    const { attributes } = (await world.realm.client(world.clientId('moving'))) ?? assert.fail();
    assert.equal(attributes['x509.casubjectdn'], undefined, 'Keycloak does not know that CA where it compares it');
  });

  it('has its CA compared again once the platform says that Keycloak knows it', async () => {
    const client = world.client('moving', {});
    const condition = () => client.condition('CertificateAuthorityUnpinned');
    assert.match((await condition())?.message ?? '', /restart Keycloak .* spec\.keycloak\.caSubject: Always/);
    // Back to the CA that it knew at its start.
    await grants(['corporate-clients', 'second']);
    await holds(world.clientCa, next);
    const { x5tS256: former } = await client.credentials();
    await client.apply({
      certificate: { duration: '24h', drain: '5s', issuerRef: { name: 'corporate-clients' } },
    });
    await waitFor(async () => (await client.credentials()).x5tS256 !== former, limitMs);
    await client.until(({ certificates = [] }) => certificates.length === 1, limitMs);
    const pinned = async () => (await world.realm.client(world.clientId('moving')))?.attributes['x509.casubjectdn'];
    assert.equal(await pinned(), undefined);
    await world.kube.patch(
      authorizationServers,
      { name: 'corporate' },
      { spec: { keycloak: { caSubject: 'Always' } } },
      { type: 'merge' },
    );
    await waitFor(async () => (await pinned()) === 'CN=Corporate OAuth Clients', limitMs);
    await waitFor(async () => (await condition()) === undefined, limitMs);
    const credentials = await client.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256);
    await grants(['second']);
  });

  it('takes no new client of a CA that it did not know at its start, for it is to compare that CA', async () => {
    const certificate = { duration: '24h', issuerRef: { name: 'second' } };
    const client = await world.client('new', { certificate }).apply();
    await client.until(
      ({ conditions = [] }) => conditions.some(({ reason }) => reason === 'CertificateRefused'),
      limitMs,
    );
    assert.equal(await client.secret(), undefined);
  });
});

/** What comes of a token request. */
const outcomeOf = (credentials: ClientCredentials): Promise<string> =>
  requestToken(credentials).then(
    ({ status }) => String(status),
    (error: unknown) => String(error),
  );

interface Load {
  readonly used: ReadonlySet<string>;
  readonly calls: number;
  /** For how long Keycloak closed new connections before their TLS, at the longest: it does where it reads its files anew. */
  readonly longestResetMs: number;
  /** Ends it; fails with the first call that was refused. */
  stop(): Promise<void>;
}

/** An application that reads its Secret before each call, and tries again where no connection was made. */
function keepCalling(client: TestClient): Load {
  const used = new Set<string>();
  const load = { calls: 0, longestResetMs: 0 };
  const ended = new AbortController();
  const running = (async () => {
    let answeredAt = performance.now();
    while (!ended.signal.aborted) {
      const credentials = await client.credentials();
      const bound = await boundTo(credentials).catch((error: unknown) => {
        if (/ECONNRESET|disconnected before secure TLS/.test(String(error))) return undefined;
        throw error;
      });
      if (bound === undefined) {
        load.longestResetMs = Math.max(load.longestResetMs, performance.now() - answeredAt);
        continue;
      }
      answeredAt = performance.now();
      if (bound !== credentials.x5tS256) throw new Error(`bound to ${bound} instead of ${credentials.x5tS256}`);
      used.add(bound);
      load.calls++;
      await sleep(25);
    }
  })();
  running.catch(() => undefined);
  return {
    used,
    get calls() {
      return load.calls;
    },
    get longestResetMs() {
      return load.longestResetMs;
    },
    async stop() {
      ended.abort();
      await running;
    },
  };
}
