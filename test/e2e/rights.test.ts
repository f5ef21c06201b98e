/**
 * What the chart grants the operator, against what it asks of the API server in the life of two clients: nothing that it
 * does is denied, and nothing is granted that it does not use.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { OPT_IN, RENEW_REQUESTED, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import {
  configMaps,
  gatewayClasses,
  gateways,
  httpProxies,
  ingresses,
  secrets,
  type KubernetesObject,
  type Resource,
} from '../../src/kube/resource.ts';
import { routeResources } from '../../src/terminator/routes/route.ts';
import { secretValues } from '../support/application.ts';
import { apply, documents, opaqueSecret } from '../support/cluster-objects.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import { operatorRights, SERVICE_ACCOUNT, SERVICE_ACCOUNT_USER } from '../support/operator-rights.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../support/self-signed-platform.ts';
import { defineSkeleton } from '../support/skeleton-definition.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, SCOPES, serverReady } from './lifecycle-world.ts';

/** One verb on one resource, where it is granted: '' is everywhere, and the served namespaces are one place. */
interface Right {
  place: readonly string[];
  verb: string;
  apiGroup: string;
  resource: string;
  name: string;
}

const roleSchema = z.object({
  rules: z.array(
    z.object({
      apiGroups: z.array(z.string()),
      resources: z.array(z.string()),
      resourceNames: z.array(z.string()).default(['']),
      verbs: z.array(z.string()),
    }),
  ),
});

/** Each right once. */
function rightsIn(objects: readonly KubernetesObject[], scope: readonly string[]): Right[] {
  const rights = objects
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .flatMap((role) => {
      const { namespace } = role.metadata;
      const place = namespace === undefined ? [] : scope.includes(namespace) ? scope : [namespace];
      return roleSchema
        .parse(role)
        .rules.flatMap(({ apiGroups, resources, resourceNames, verbs }) =>
          apiGroups.flatMap((apiGroup) =>
            resources.flatMap((resource) =>
              resourceNames.flatMap((name) => verbs.map((verb) => ({ place, verb, apiGroup, resource, name }))),
            ),
          ),
        );
    });
  return [...new Map(rights.map((right) => [JSON.stringify(right), right])).values()];
}

/** What the operator asked for, at whatever stage the audit log has it: a watch that is still open has but begun. */
async function requests({ plane }: Installation) {
  const events = [...(await plane.auditEvents('ResponseStarted')), ...(await plane.auditEvents())];
  return events.filter(({ user }) => user === SERVICE_ACCOUNT_USER);
}

async function unused(world: Installation, rights: readonly Right[]): Promise<string[]> {
  const asked = await requests(world);
  const isUsed = ({ place, verb, apiGroup, resource, name }: Right) =>
    asked.some(
      (event) =>
        event.verb === verb &&
        event.apiGroup === apiGroup &&
        [event.resource, event.subresource].filter((part) => part !== '').join('/') === resource &&
        (place.length === 0 || place.includes(event.namespace)) &&
        (name === '' || event.name === name),
    );
  return rights
    .filter((right) => !isUsed(right))
    .map(
      ({ place, verb, apiGroup, resource, name }) => `${verb} ${resource}.${apiGroup} ${name} in [${place.join(' ')}]`,
    );
}

async function gone({ kube }: Installation, resource: Resource, name: string): Promise<void> {
  await kube.delete(resource, { name });
  await waitFor(async () => (await kube.get(resource, { name })) === undefined, 60_000);
}

/** As if the last certificates had ended by now. */
async function identitiesSwept({ kube }: Installation): Promise<void> {
  const claims = { namespace: SERVICE_ACCOUNT.namespace, labelSelector: `${ROLE_LABEL}=${Role.claim}` };
  const { items } = await kube.list(configMaps, claims);
  assert.ok(items.length > 0, 'no identity was claimed');
  const past = { data: { expires: new Date(Date.now() - 1000).toISOString() } };
  for (const { metadata } of items) {
    await kube.patch(configMaps, { namespace: claims.namespace, name: metadata.name }, past, { type: 'merge' });
  }
  await waitFor(async () => (await kube.list(configMaps, claims)).items.length === 0, 60_000);
}

async function lifeOfTwoClients(world: Installation): Promise<void> {
  const { kube } = world;
  const clients = [
    new TestClient(world, { namespace: 'payments', name: 'batch' }),
    new TestClient(
      world,
      { namespace: 'payments', name: 'self-signed' },
      { authorizationServerRef: { name: SELF_SIGNED_SERVER }, tokenEndpointAuthMethod: 'self_signed_tls_client_auth' },
    ),
  ];
  await Promise.all(clients.map((client) => client.apply().then(() => client.ready())));

  for (const client of clients) {
    const { x5tS256 } = await client.credentials();
    await client.annotate({ [RENEW_REQUESTED]: 'now' });
    await waitFor(async () => (await client.credentials()).x5tS256 !== x5tS256, 60_000);
    await client.ready();
    // Twice: the second event is added to the first.
    for (const attempt of [1, 2]) {
      const intact = await client.values();
      await kube.patch(secrets, client.secretRef, { data: { 'tls.crt': btoa(`${attempt}`) } }, { type: 'merge' });
      await waitFor(async () => (await client.values())['tls.crt'] === intact['tls.crt'], 60_000);
    }
  }

  const opted = { namespace: 'accounts', name: 'accounts-api' };
  const ours = async () =>
    Object.keys((await kube.get(ingresses, opted))?.metadata.annotations ?? {}).filter((key) =>
      key.includes('auth-tls'),
    );
  const bundles = { namespace: 'accounts', labelSelector: `${ROLE_LABEL}=${Role.trustBundle}` };
  await waitFor(async () => (await ours()).length === 4);
  await kube.patch(ingresses, opted, { metadata: { annotations: { [OPT_IN]: null } } }, { type: 'merge' });
  await waitFor(async () => (await ours()).length === 0);
  await waitFor(async () => (await kube.list(secrets, bundles)).items.length === 0);

  const clientCas = { namespace: 'identity', name: 'corporate-client-cas' };
  const publishTo = (trustBundle: { namespace: string } | null) =>
    kube.patch(authorizationServers, { name: 'corporate' }, { spec: { trustBundle } }, { type: 'merge' });
  await publishTo({ namespace: clientCas.namespace });
  const published = async () => {
    const secret = await kube.get(secrets, clientCas);
    return secret === undefined ? undefined : secretValues(secret)['ca.crt'];
  };
  await waitFor(async () => (await published()) !== undefined);
  const cas = await published();
  await kube.patch(secrets, clientCas, { data: { 'ca.crt': btoa('edited') } }, { type: 'merge' });
  await waitFor(async () => (await published()) === cas);
  await publishTo(null);
  await waitFor(async () => (await kube.get(secrets, clientCas)) === undefined);

  // Events on what belongs to no namespace, and one of them twice.
  const token = { namespace: SERVICE_ACCOUNT.namespace, name: 'corporate-initial-access-token' };
  const isReady = async (name: string) => {
    const { status } = authorizationServer.parse(await kube.get(authorizationServers, { name }));
    return status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  };
  for (const name of ['once', 'twice']) {
    await kube.delete(secrets, token);
    await waitFor(async () => !(await isReady('corporate')), 60_000).catch((cause: unknown) => {
      throw new Error(`the credential was missed ${name}`, { cause });
    });
    await apply(kube, opaqueSecret(token, { token: world.initialAccessToken }));
    await serverReady(world, 'corporate');
  }

  for (const client of clients) {
    await client.delete();
    await client.gone();
  }
  await identitiesSwept(world);
  for (const name of ['corporate', SELF_SIGNED_SERVER]) await gone(world, authorizationServers, name);
  for (const name of ['corporate-clients', 'self-signed']) await gone(world, clientCertificateIssuers, name);
}

/** Kinds of others, which a cluster may have. */
const optional = [httpProxies, gateways, gatewayClasses, ...Object.values(routeResources)];

const modes = [
  { mode: 'cluster mode', scope: [] },
  { mode: 'scoped mode', scope: ['identity', 'accounts', 'payments'] },
];

for (const { mode, scope } of modes) {
  describe(`the operator's rights in ${mode}`, () => {
    let world: Installation;
    before(async () => {
      world = await startInstallation({ accessTokenTTL: 3, scope });
      await Promise.all(optional.map((resource) => defineSkeleton(world.kube, resource)));
      await apply(
        world.kube,
        ...edited(await world.platform()),
        ...edited(selfSignedPlatform(world, SCOPES)),
        ...(await documents('examples/ingresses.yaml')),
      );
      for (const pod of ['certbound-0', 'certbound-1']) {
        await world.startOperator({ CERTBOUND_LEADER_ELECTION: 'true', CERTBOUND_POD_NAME: pod });
      }
      await Promise.all(['corporate', SELF_SIGNED_SERVER].map((name) => serverReady(world, name)));
      await world.ingressController.settled();
    });
    after(() => world.stop());

    it('are enough, and no more than it uses', async () => {
      await lifeOfTwoClients(world);
      const rights = rightsIn(await operatorRights(scope), scope);
      assert.ok(rights.length > 30, `${rights.length} rights`);
      await waitFor(async () => (await unused(world, rights)).length === 0, 10_000).catch(() => undefined);
      assert.deepEqual(await unused(world, rights), [], 'granted and never used');
      const denied = (await requests(world)).filter(({ code }) => code === 401 || code === 403);
      assert.deepEqual(
        denied.map(({ verb, requestURI, code }) => `${code} ${verb} ${requestURI}`),
        [],
        'asked for and denied',
      );
    });

    it('are asked for as the ServiceAccount alone', async () => {
      const events = await world.plane.auditEvents();
      const users = new Set(events.filter((e) => e.userAgent.startsWith('certbound/')).map(({ user }) => user));
      assert.deepEqual([...users], [SERVICE_ACCOUNT_USER]);
    });

    if (scope.length > 0) {
      it('reach no namespace that is not served', async () => {
        const asked = new Set((await requests(world)).map(({ namespace }) => namespace));
        assert.deepEqual(
          [...asked].filter((each) => !['', 'default', SERVICE_ACCOUNT.namespace, ...scope].includes(each)),
          [],
        );
      });
    }
  });
}
