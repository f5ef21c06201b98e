/** Traefik 3.7 in front of an authorization server and an API, from the objects that the operator writes and nothing else. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CLIENT_CERTIFICATES, CLIENT_HEADERS_REMOVED, OPT_IN, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { ingressClasses, ingresses, ingressRoutes, secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { middlewares, tlsOptions } from '../../src/terminator/drivers/traefik.ts';
import { callApi, requestToken, tokenFor } from '../support/application.ts';
import { apply, ingress } from '../support/cluster-objects.ts';
import { forgedHeaders } from '../support/forged-headers.ts';
import { call, type Answer } from '../support/https-call.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { startTraefik } from '../support/traefik.ts';
import { changesUnderLoad } from '../support/changes-under-load.ts';
import { waitFor } from '../support/wait-for.ts';
import { serverReady } from '../e2e/lifecycle-world.ts';
import { byPortName } from '../support/traefik.ts';
import { liveRound, provedHosts } from '../support/live-proof.ts';
import { startTraefikWorld, type TraefikWorld } from './traefik-world.ts';

const limitMs = 120_000;
const api = { namespace: 'accounts', name: 'accounts-api' };
const traefikKey = (name: string) => `traefik.ingress.kubernetes.io/${name}`;

/** Whose header it forwards certificates in. */
const header = { kubernetesIngress: 'traefik', kubernetesIngressNGINX: 'nginx' } as const;

/** Traefik ended the connection: for want of a certificate, or because of the one it was shown. */
async function refusedInTls(answer: Promise<Answer>): Promise<void> {
  await assert.rejects(answer, /alert|ECONNRESET|socket hang up|EPIPE|certificate/i);
}
/** By an alert, or what is left of one: while Traefik does not know a TLSOption yet, it ends every connection before it. */
const isRefusedInTls = (answer: Promise<Answer>): Promise<boolean> =>
  answer.then(
    () => false,
    (error: unknown) => !/before secure TLS connection/.test(String(error)),
  );

/** managedFields of everybody but the operator, and but the test, which opts in and out; without times. */
const othersFields = (object: KubernetesObject | undefined): unknown =>
  (object?.metadata.managedFields ?? [])
    .filter(({ manager = '' }) => ![FIELD_MANAGER, 'test'].includes(manager))
    .map((entry) => ({ ...entry, time: undefined }));

for (const provider of ['kubernetesIngress', 'kubernetesIngressNGINX'] as const) {
  describe(`Traefik, ${provider}`, () => {
    let world: TraefikWorld;
    let client: TestClient;
    let stranger: TestClient;
    /** The API's Ingress before its owner opted in. */
    let untouched: KubernetesObject | undefined;

    const forged = async (of = client) => forgedHeaders(header[provider], (await of.credentials()).certificate);
    const live = () => world.kube.get(ingresses, api);
    const annotate = (ref: typeof api, annotations: Record<string, string | null>) =>
      world.kube.patch(ingresses, ref, { metadata: { annotations } }, { type: 'merge' });
    /** Objects of the operator in the API's namespace. */
    const ours = async () => {
      const query = {
        namespace: api.namespace,
        labelSelector: `${ROLE_LABEL} in (${Role.trustBundle},${Role.terminator})`,
      };
      const lists = await Promise.all([secrets, tlsOptions, middlewares].map((kind) => world.kube.list(kind, query)));
      return lists.flatMap(({ items }) => items);
    };
    /** Calls with a certificate while something changes: how many of them the API did not get, of how many. */
    const lostDuring = async (certificate: KeyPairPem, change: () => Promise<unknown>): Promise<string> => {
      const ended = new AbortController();
      const counted = (async () => {
        let [lost, calls] = [0, 0];
        for (; !ended.signal.aborted; calls++) {
          const answer = await world.api({ certificate }).catch(() => undefined);
          if (answer?.status !== 401) lost++;
        }
        return `${lost} of ${calls}`;
      })();
      await change().finally(() => ended.abort());
      return counted;
    };
    /** Until Traefik has heard of it: it looks every two seconds. */
    const asked = async (ask: boolean) => {
      await waitFor(async () => (await isRefusedInTls(world.api({}))) === ask, 60_000);
      // Behind its middlewares, which come by another way.
      const { certificate } = await client.credentials();
      await waitFor(async () => (await world.api({ certificate }).catch(() => undefined))?.status === 401, 60_000);
    };

    before(async () => {
      world = await startTraefikWorld({ provider });
      const [authorizationServer, accounts] = await world.ingresses();
      assert.ok(authorizationServer !== undefined && accounts !== undefined);
      await apply(world.kube, authorizationServer, {
        ...accounts,
        metadata: { ...api, annotations: { team: 'accounts' } },
      });
      await serverReady(world, 'corporate');
      [client, stranger] = [await world.client('batch').apply(), await world.client('stranger').apply()];
      await Promise.all([client.ready(limitMs), stranger.ready(limitMs)]);
      untouched = await live();
    });
    after(() => world?.stop());

    it('gives a token for the published Secret alone, through the host that asks for certificates', async () => {
      const credentials = await client.credentials();
      assert.equal(new URL(credentials.tokenEndpoint).hostname, HOSTS.mtls);
      assert.equal(await boundTo(credentials), credentials.x5tS256);
      const other = await requestToken(credentials, { certificate: (await stranger.credentials()).certificate });
      assert.equal(other.status, 401, other.text);
    });

    it('lets nobody in at the token endpoint without a certificate of the CA, whatever headers say', async () => {
      const credentials = await client.credentials();
      const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
      const earlier = world.authorizationServer.requests();
      await refusedInTls(requestToken(credentials, { certificate: undefined }));
      await refusedInTls(requestToken(credentials, { certificate: foreign }));
      const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: credentials.clientId });
      const headers = await forged();
      const attempt = (host: string, certificate?: KeyPairPem) =>
        call({
          url: `https://${host}:${world.traefik.httpsPort}/token`,
          ca: credentials.caPem,
          headers,
          body,
          certificate,
        });
      await refusedInTls(attempt(HOSTS.mtls));
      await refusedInTls(attempt(HOSTS.mtls, foreign));
      assert.deepEqual(world.authorizationServer.requests(), earlier, 'the server has seen none of it');
      // The browser's host asks for no certificate, and the other's own is the one that counts on the other.
      for (const answer of [
        await attempt(HOSTS.browser),
        await attempt(HOSTS.mtls, (await stranger.credentials()).certificate),
      ]) {
        assert.equal(answer.status, 401, answer.text);
        assert.equal(answer.json['error'], 'invalid_client');
      }
      const plain = await call({ url: `http://${HOSTS.mtls}:${world.traefik.httpPort}/token`, headers, body });
      assert.ok([308, 301, 404].includes(plain.status), `plain HTTP: ${plain.status}`);
    });

    it('is shown by live connections, each of which is answered as it must be; one that asks nobody is told apart', async () => {
      const { certificate } = await client.credentials();
      const authority = { client: certificate, bundlePem: (await client.values())['client-ca.crt'] ?? '' };
      const at = { port: world.traefik.httpsPort };
      const { seen, violated, unclear } = await liveRound(
        { ...at, host: HOSTS.mtls, laxHost: HOSTS.browser },
        authority,
      );
      assert.deepEqual([violated, unclear], [[], undefined], seen.join());
      // Of a host that asks nobody there are sessions; none is resumed here.
      assert.deepEqual(seen, ['canary 404', 'foreign alert', 'forged alert', 'none alert']);
      const lax = await liveRound({ ...at, host: HOSTS.browser }, authority);
      assert.deepEqual(lax.violated, ['foreign', 'forged', 'none', 'resumed'], lax.seen.join());
      await waitFor(async () => (await provedHosts(world.operator, 'proved')) === 1, limitMs);
      assert.equal(await provedHosts(world.operator, 'disproved'), 0);
    });

    it('is not ready once live connections show that a route which the operator knows nothing of has undone it', async () => {
      const route = { namespace: 'identity', name: 'status-page' };
      await world.kube.create(ingressRoutes, {
        metadata: route,
        spec: {
          entryPoints: ['websecure'],
          routes: [
            {
              kind: 'Rule',
              match: `Host(\`${HOSTS.mtls}\`) && PathPrefix(\`/status\`)`,
              services: [{ kind: 'TraefikService', name: 'noop@internal' }],
            },
          ],
          tls: {},
        },
      });
      const terminators = (status: string, reason: string) =>
        client.told('TerminatorsReady', status, reason, limitMs * 2);
      try {
        await terminators('False', 'ClientAuthenticationNotEnforced');
        assert.equal(await provedHosts(world.operator, 'disproved'), 1);
        // Nobody is asked, so no certificate reaches the server: it knows nobody there, and lets nobody in.
        const credentials = await client.credentials();
        for (const certificate of [credentials.certificate, undefined]) {
          assert.equal((await requestToken(credentials, { certificate })).status, 401);
        }
      } finally {
        await world.kube.delete(ingressRoutes, route);
      }
      // It is tried again within a minute, and shown to be right three times.
      await client.ready(limitMs * 2);
      await terminators('True', 'Distributed');
    });

    // Its own header Traefik removes everywhere; that of ingress-nginx as its platform says.
    if (provider === 'kubernetesIngressNGINX') {
      it('passes a forged header on where the entry points do not remove it, on a host that has not opted in', async () => {
        const bare = await startTraefik({
          kubeconfigPath: world.kubeconfigPath,
          provider,
          ingressClass: world.className,
        });
        try {
          const through = async () =>
            callApi({
              url: `https://${HOSTS.api}:${bare.httpsPort}/accounts`,
              caPem: world.serverCa.certPem,
              token: await tokenFor(await client.credentials()),
              headers: await forged(),
            }).catch(() => undefined);
          // If this fails, Traefik has got better: see docs/terminators.md, and what is asked of the platform there.
          await waitFor(async () => (await through())?.status === 200, 60_000);
        } finally {
          await bare.stop();
        }
      });

      it('is not ready while an IngressRoute leads to the same Service, unless headers are removed there', async () => {
        const route = { namespace: 'identity', name: 'public' };
        const match = `Host(\`${HOSTS.browser}\`) && PathPrefix(\`/token\`)`;
        await world.kube.create(ingressRoutes, {
          metadata: route,
          spec: {
            entryPoints: ['websecure'],
            routes: [{ kind: 'Rule', match, services: [{ name: 'authorization-server', port: 'http' }] }],
          },
        });
        const terminators = (status: string, reason: string) =>
          client.told('TerminatorsReady', status, reason, limitMs);
        const message = await terminators('False', 'BackendExposed');
        assert.match(message, /Service authorization-server .*Traefik \(IngressRoute public\)/);
        const ingressClass = { name: 'traefik' };
        await apply(world.kube, {
          apiVersion: 'networking.k8s.io/v1',
          kind: 'IngressClass',
          metadata: { ...ingressClass, annotations: { [CLIENT_HEADERS_REMOVED]: 'true' } },
          spec: { controller: 'traefik.io/ingress-controller' },
        });
        await terminators('True', 'Distributed');
        await world.kube.delete(ingressRoutes, route);
        await world.kube.delete(ingressClasses, ingressClass);
      });
    }

    it('asks for certificates at the API once its owner has opted in', async (t) => {
      const { certificate, ...credentials } = await client.credentials();
      const early = await tokenFor({ certificate, ...credentials });
      assert.equal((await world.api({ token: early, certificate })).status, 401, 'no certificate reaches the API');
      const headers = await forged();
      const anew = await tokenFor({ certificate, ...credentials });
      assert.equal((await world.api({ token: anew, headers })).status, 401, 'nor a forged header');
      const lost = await lostDuring(certificate, async () => {
        await annotate(api, { [OPT_IN]: 'corporate', [CLIENT_CERTIFICATES]: 'required' });
        await asked(true);
      });
      t.diagnostic(`calls that did not reach the API meanwhile: ${lost}`);
      // The first lives for three seconds.
      const bound = await tokenFor({ certificate, ...credentials });
      const accepted = await world.api({ token: bound, certificate });
      assert.equal(accepted.status, 200, accepted.text);
      assert.equal(accepted.json['x5t_s256'], credentials.x5tS256);
      const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
      await refusedInTls(world.api({ token: bound, headers }));
      await refusedInTls(world.api({ token: bound, headers, certificate: foreign }));
      const thief = await stranger.credentials();
      assert.equal((await world.api({ token: bound, headers, certificate: thief.certificate })).status, 401);
      assert.deepEqual(othersFields(await live()), othersFields(untouched));
    });

    it('refuses no call through two rotations and a change of the CA', async (t) => {
      t.diagnostic(
        await changesUnderLoad(world, client, (bound, certificate) => world.api({ token: bound, certificate })),
      );
    });

    it('has nothing of ours left when the owner opts out, and everything of others as it was', async (t) => {
      assert.ok((await ours()).length > 0);
      const { certificate } = await client.credentials();
      const lost = await lostDuring(certificate, async () => {
        await annotate(api, { [OPT_IN]: null, [CLIENT_CERTIFICATES]: null });
        await waitFor(async () => (await ours()).length === 0, 60_000);
        await asked(false);
      });
      t.diagnostic(`calls that did not reach the API meanwhile: ${lost}`);
      const left = await live();
      assert.deepEqual(left?.metadata.annotations, untouched?.metadata.annotations);
      assert.deepEqual(left?.['spec'], untouched?.['spec']);
      assert.deepEqual(othersFields(left), othersFields(untouched));
      const managers = left?.metadata.managedFields?.map(({ manager }) => manager);
      assert.ok(managers?.includes(FIELD_MANAGER) === false, String(managers));
      assert.equal((await world.api({})).status, 401, 'the API itself refuses');
    });

    if (provider === 'kubernetesIngress') {
      it('is not ready while an Ingress that has not opted in serves the host: Traefik then asks nobody', async () => {
        const credentials = await client.credentials();
        const other = { namespace: 'identity', name: 'status-page' };
        await apply(world.kube, byPortName(ingress(other, HOSTS.mtls, 'authorization-server', world.className)));
        const without = () => requestToken(credentials, { certificate: undefined });
        await waitFor(async () => !(await isRefusedInTls(without())), 60_000);
        assert.equal((await without()).status, 401, 'no certificate, and no header of one');
        const forgedAnswer = await call({
          url: credentials.tokenEndpoint,
          ca: credentials.caPem,
          headers: await forged(),
          body: new URLSearchParams({ grant_type: 'client_credentials', client_id: credentials.clientId }),
        });
        assert.equal(forgedAnswer.status, 401, forgedAnswer.text);
        await client.told('TerminatorsReady', 'False', 'HostShared');
        await world.kube.delete(ingresses, other);
        await waitFor(() => isRefusedInTls(without()), 60_000);
        await client.told('TerminatorsReady', 'True', 'Distributed');
        assert.equal(await boundTo(credentials), credentials.x5tS256);
      });

      it('leaves the owner’s middlewares alone, and works beside them', async () => {
        const limit = { namespace: api.namespace, name: 'hello' };
        await world.kube.create(middlewares, {
          metadata: limit,
          spec: { headers: { customResponseHeaders: { 'X-Hello': 'owner' } } },
        });
        const key = traefikKey('router.middlewares');
        const theirs = 'accounts-hello@kubernetescrd';
        await annotate(api, { [key]: theirs, [OPT_IN]: 'corporate' });
        await waitFor(async () => (await world.log()).includes('ConfigurationConflict'), 60_000);
        const kept = await live();
        assert.equal(kept?.metadata.annotations?.[key], theirs);
        assert.equal(
          kept.metadata.annotations[traefikKey('router.tls.options')],
          undefined,
          'by halves, it is nothing',
        );
        const [bundle] = (await ours()).filter(({ metadata }) => metadata.name.startsWith('certbound-trust-'));
        const name = bundle?.metadata.name ?? '';
        const own = `accounts-${name}-blank@kubernetescrd,accounts-${name}@kubernetescrd`;
        assert.ok((await world.log()).includes(`${own},${theirs}`), 'what to write is said');
        await annotate(api, { [key]: `${own}, ${theirs}` });
        await asked(true);
        const { certificate, ...credentials } = await client.credentials();
        const answer = await world.api({ token: await tokenFor({ certificate, ...credentials }), certificate });
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(answer.headers['x-hello'], ['owner']);
        assert.equal((await live())?.metadata.annotations?.[key], `${own}, ${theirs}`);
      });

      it('drops a forged header of a peer that the entry point trusts, also where a certificate is optional', async () => {
        await annotate(api, { [CLIENT_CERTIFICATES]: 'optional' });
        const flags = ['--entryPoints.websecure.forwardedHeaders.trustedIPs=127.0.0.1/32'];
        const trusting = await startTraefik({
          kubeconfigPath: world.kubeconfigPath,
          provider,
          ingressClass: world.className,
          flags,
        });
        try {
          const { certificate, ...credentials } = await client.credentials();
          const bound = await tokenFor({ certificate, ...credentials });
          const through = (request: { certificate?: KeyPairPem; headers?: Record<string, string> }) =>
            callApi({
              url: `https://${HOSTS.api}:${trusting.httpsPort}/accounts`,
              caPem: world.serverCa.certPem,
              token: bound,
              ...request,
            });
          await waitFor(async () => (await through({ certificate }).catch(() => undefined))?.status === 200, 60_000);
          await waitFor(async () => !(await isRefusedInTls(through({}))), 60_000);
          assert.equal((await through({})).status, 401);
          assert.equal((await through({ headers: await forged() })).status, 401);
          const thief = await stranger.credentials();
          assert.equal((await through({ headers: await forged(), certificate: thief.certificate })).status, 401);
        } finally {
          await trusting.stop();
        }
      });
    }
  });
}
