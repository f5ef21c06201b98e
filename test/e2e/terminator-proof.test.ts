/** What somebody changed at a terminator by hand is found by a live connection, and said where it matters. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { authorizationServers } from '../../src/api/resources.ts';
import { events, ingresses } from '../../src/kube/resource.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { clusterObjects, type ObjectSource } from '../support/ingress-objects.ts';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { isTrue, TestClient } from '../support/oauth-client.ts';
import { BLANK_CERTIFICATE_HEADERS } from '../support/oauth-deployment.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { waitFor } from '../support/wait-for.ts';
import { INGRESSES, serverReady } from './lifecycle-world.ts';

const LAX = 'ClientAuthenticationNotEnforced';
const mtls = { namespace: 'identity', name: 'authorization-server-mtls' };

/** Whoever reads the cluster through it sees no auth-tls annotations while it is lax. */
class Template implements ObjectSource {
  readonly #cluster: ObjectSource;
  #lax = false;
  #changed: () => void = () => undefined;

  constructor(kubeconfigPath: string) {
    this.#cluster = clusterObjects(kubeconfigPath);
  }

  edit(change: 'lax' | 'strict'): void {
    this.#lax = change === 'lax';
    this.#changed();
  }

  async read(options: Parameters<ObjectSource['read']>[0]): Promise<readonly unknown[]> {
    const objects = await this.#cluster.read(options);
    if (!this.#lax) return objects;
    const text = JSON.stringify(objects).replaceAll('nginx.ingress.kubernetes.io/auth-tls-', 'nobody.example/');
    const edited: unknown = JSON.parse(text);
    assert.ok(Array.isArray(edited));
    return edited;
  }

  onChange(listener: () => void, options: Parameters<ObjectSource['read']>[0]): void {
    this.#changed = listener;
    this.#cluster.onChange(listener, options);
  }

  stop(): Promise<void> {
    return this.#cluster.stop();
  }
}

describe('a host that somebody made lax at the terminator itself', () => {
  let world: Installation;
  let template: Template;
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
  const metric = async (state: string): Promise<number> =>
    Number(
      new RegExp(`^certbound_terminator_hosts\\{[^}]*state="${state}"\\} (\\d+)$`, 'm').exec(
        await operator.metrics(),
      )?.[1],
    );

  before(async () => {
    world = await startInstallation();
    template = new Template(world.plane.kubeconfigPath);
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
    await waitFor(async () => (await metric('proved')) === 2, 60_000);
    assert.equal(await metric('disproved'), 0);
    assert.ok(isTrue(await first.status(), 'TerminatorsReady'));
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
    await waitFor(async () => (await metric('disproved')) === 2, 60_000);
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
    await waitFor(async () => (await metric('disproved')) === 2, 60_000);
    assert.deepEqual(await first.condition('TerminatorsReady'), shown, 'nor did a restart forget it');
    assert.equal(await second.secret(), undefined);
  });

  it('mended, that is said too, and the client is published', async () => {
    template.edit('strict');
    await replica.settled();
    await second.ready(120_000);
    await first.until((status) => isTrue(status, 'TerminatorsReady'), 60_000);
    await waitFor(async () => (await told()).some((each) => each.startsWith('ClientCertificatesProved')));
    await waitFor(async () => (await metric('proved')) === 2, 60_000);
  });
});
