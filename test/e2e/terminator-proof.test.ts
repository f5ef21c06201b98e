/** What somebody changed at a terminator by hand is found by a live connection, and said where it matters. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { authorizationServers } from '../../src/api/resources.ts';
import { events, ingresses } from '../../src/kube/resource.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { LaxObjects } from '../support/lax-objects.ts';
import { liveRound, provedHosts } from '../support/live-proof.ts';
import { isTrue, TestClient } from '../support/oauth-client.ts';
import { BLANK_CERTIFICATE_HEADERS, HOSTS } from '../support/oauth-deployment.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { waitFor } from '../support/wait-for.ts';
import { INGRESSES, serverReady } from './lifecycle-world.ts';

const LAX = 'ClientAuthenticationNotEnforced';
const mtls = { namespace: 'identity', name: 'authorization-server-mtls' };

describe('a host that somebody made lax at the terminator itself', () => {
  let world: Installation;
  let template: LaxObjects;
  /** A second replica, of which the authorization server's clients know nothing. */
  let replica: IngressController;
  let operator: OperatorProcess;
  let first: TestClient;
  let second: TestClient;
  const environment = () => ({
    CERTBOUND_TERMINATOR_ADDRESSES: JSON.stringify({
      'k8s.io/ingress-nginx': [`127.0.0.1:${world.httpsPort}`, `127.0.0.2:${world.httpsPort}`],
    }),
  });
  const told = async (): Promise<string[]> =>
    (await world.kube.list(events, { namespace: mtls.namespace })).items
      .filter((event) => Reflect.get(Object(event['regarding']), 'name') === mtls.name)
      .map((event) => `${String(event['reason'])} ${String(event['note'])}`);

  /** At a replica, by the client's own certificate. */
  const round = async (ip: string) => {
    const { certificate, 'client-ca.crt': bundlePem = '' } = {
      ...(await first.values()),
      ...(await first.credentials()),
    };
    const at = { ip, port: world.httpsPort, host: HOSTS.mtls, laxHost: HOSTS.browser };
    return liveRound(at, { client: certificate, bundlePem });
  };

  before(async () => {
    world = await startInstallation();
    template = new LaxObjects(world.plane.kubeconfigPath, 'nginx.ingress.kubernetes.io/auth-tls-');
    const { httpsPort, httpPort } = world.ingressController;
    replica = await startIngressController({
      source: template,
      address: '127.0.0.2',
      httpsPort,
      httpPort,
      installNginx: true,
      proxySetHeaders: BLANK_CERTIFICATE_HEADERS,
    });
    await apply(world.kube, ...(await world.platform()), ...(await documents(INGRESSES)));
    await world.kube.patch(
      authorizationServers,
      { name: 'corporate' },
      { spec: { propagation: '1s' } },
      { type: 'merge' },
    );
    operator = await world.startOperator(environment());
    await serverReady(world, 'corporate');
    first = await new TestClient(world, { namespace: 'payments', name: 'first' }).apply();
  });
  after(async () => {
    await replica?.stop();
    await world?.stop();
  });

  it('is proved while it is as configured', async () => {
    await first.ready();
    await waitFor(async () => (await provedHosts(operator, 'proved')) === 2, 60_000);
    assert.equal(await provedHosts(operator, 'disproved'), 0);
    assert.ok(isTrue(await first.status(), 'TerminatorsReady'));
    for (const ip of ['127.0.0.1', '127.0.0.2']) {
      const { seen, violated, unclear } = await round(ip);
      assert.deepEqual([violated, unclear], [[], undefined], seen.join());
      assert.deepEqual(seen, ['canary 404', 'foreign 400', 'forged 400', 'none 400', 'resumed 400', 'resumed 421']);
    }
    assert.deepEqual(
      (await told()).filter((each) => each.startsWith(LAX)),
      [],
    );
  });

  it('is said on the Ingress and on the OAuthClients, and what is published stays', async () => {
    const published = await first.publishedSecret();
    await operator.stop();
    template.edit('lax');
    await replica.settled();
    assert.deepEqual((await round('127.0.0.2')).violated, ['foreign', 'forged', 'none', 'resumed']);
    operator = await world.startOperator(environment());
    const status = await first.until((now) => !isTrue(now, 'TerminatorsReady'), 90_000);
    const condition = status.conditions?.find(({ type }) => type === 'TerminatorsReady');
    assert.deepEqual([condition?.status, condition?.reason], ['False', LAX]);
    assert.match(
      condition?.message ?? '',
      /^Ingress identity\/authorization-server-mtls: At mtls\.as\.example\.test \(127\.0\.0\.2:/,
    );
    assert.ok(isTrue(status, 'Ready'));
    assert.deepEqual(await first.publishedSecret(), published);
    await waitFor(async () =>
      (await told()).some((each) => each.startsWith(`${LAX} At mtls.as.example.test (127.0.0.2:`)),
    );
    await waitFor(async () => (await provedHosts(operator, 'disproved')) === 2, 60_000);
    const written = await world.kube.get(ingresses, mtls);
    assert.equal(written?.metadata.annotations?.['nginx.ingress.kubernetes.io/auth-tls-verify-client'], 'on');
  });

  it('nothing new is published through it', async () => {
    second = await new TestClient(world, { namespace: 'payments', name: 'second' }).apply();
    const status = await second.until(
      ({ conditions }) =>
        conditions?.some(({ type, reason }) => type === 'TerminatorsReady' && reason === LAX) === true,
    );
    assert.ok(!isTrue(status, 'Ready'));
    assert.equal(await second.secret(), undefined);
    const shown = await first.condition('TerminatorsReady');
    await operator.stop();
    operator = await world.startOperator(environment());
    await waitFor(async () => (await provedHosts(operator, 'disproved')) === 2, 60_000);
    assert.deepEqual(await first.condition('TerminatorsReady'), shown, 'nor did a restart forget it');
    assert.equal(await second.secret(), undefined);
  });

  it('mended, that is said too, and the client is published', async () => {
    template.edit('strict');
    await replica.settled();
    await second.ready(120_000);
    await first.until((status) => isTrue(status, 'TerminatorsReady'), 60_000);
    await waitFor(async () => (await told()).some((each) => each.startsWith('ClientCertificatesProved')));
    await waitFor(async () => (await provedHosts(operator, 'proved')) === 2, 60_000);
  });
});
