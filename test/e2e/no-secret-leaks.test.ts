/** P10: no secret leaves its Secret, whatever happens and whoever provokes it. Canaries, and a search for them everywhere. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { oauthClient } from '../../src/api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import { Informer } from '../../src/kube/informer.ts';
import {
  configMaps,
  customResourceDefinitions,
  events,
  ingresses,
  namespaces,
  type Resource,
  secrets,
} from '../../src/kube/resource.ts';
import { recordName } from '../../src/oauthclient/record.ts';
import { credentialsOf, secretValues, tokenFor } from '../support/application.ts';
import { apply, documents, opaqueSecret } from '../support/cluster-objects.ts';
import type { Fault, FaultAction } from '../support/fault.ts';
import { type Installation, startInstallation } from '../support/installation.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { canaries, collect, heardRegistration, hearing, last, valuesOf } from './canary-collector.ts';

const SYSTEM = 'certbound-system';
const TEAM = 'payments';
const searched: readonly Resource[] = [
  oauthClients,
  authorizationServers,
  clientCertificateIssuers,
  configMaps,
  events,
  ingresses,
  namespaces,
  customResourceDefinitions,
];
const stopping = new AbortController();
let world: Installation;
let operator: OperatorProcess;
let port = 0;

const on =
  (method: string, route: string, action: () => FaultAction): Fault =>
  (request) =>
    request.method === method && request.route === route ? action() : hearing(request);

function answering(code: number, body: unknown, type = 'application/json'): FaultAction {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { kind: 'respond', status: code, body: text, headers: { 'content-type': type } };
}

before(async () => {
  world = await startInstallation();
  const informer = new Informer({ client: world.kube, resource: secrets, project: collect });
  informer.start(stopping.signal);
  await informer.synced;
  canaries.add('initial access token', world.initialAccessToken);
  world.authorizationServer.setFault(hearing);
  const ingressObjects = await documents(resolve(import.meta.dirname, '../../examples/ingresses.yaml'));
  await apply(world.kube, ...(await world.platform()), ...ingressObjects);
  operator = await world.startOperator();
  const started = /"port":(\d+)[^\n]*"operator started"/.exec(await operator.log());
  port = Number(started?.[1]);
});
after(async () => {
  stopping.abort();
  await world?.stop();
});

const client = (name: string, spec: Record<string, unknown> = {}) =>
  apply(world.kube, {
    apiVersion: 'certbound.dev/v1alpha1',
    kind: 'OAuthClient',
    metadata: { namespace: TEAM, name },
    spec: { authorizationServerRef: { name: 'corporate' }, ...spec },
  });

async function status(name: string) {
  const object = await world.kube.get(oauthClients, { namespace: TEAM, name });
  return object === undefined ? undefined : oauthClient.parse(object).status;
}

async function condition(name: string, reason: string, type = 'Ready'): Promise<string> {
  let message: string | undefined;
  let now: unknown;
  await waitFor(async () => {
    now = (await status(name))?.conditions;
    const found = (await status(name))?.conditions?.find((c) => c.type === type);
    message = found?.reason === reason ? found.message : undefined;
    return message !== undefined;
  }, 60_000).catch((error: unknown) => {
    throw new Error(`${name} is not ${reason} but ${JSON.stringify(now)}`, { cause: error });
  });
  return message ?? '';
}

async function published(name: string) {
  const secret = await world.kube.get(secrets, { namespace: TEAM, name: `${name}-oauth` });
  assert.ok(secret !== undefined);
  return credentialsOf(secret);
}

const endpoint = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();

/** Everything that is to be read outside of Secrets. */
async function everything(): Promise<Record<string, string>> {
  const objects = searched.map(async (resource) => [
    resource.plural,
    JSON.stringify((await world.kube.list(resource)).items),
  ]);
  const { items } = await world.kube.list(secrets);
  return {
    log: await operator.log(),
    metrics: await operator.metrics(),
    healthz: await endpoint('/healthz'),
    readyz: await endpoint('/readyz'),
    'metadata of Secrets': JSON.stringify(items.map(({ metadata }) => metadata)),
    ...Object.fromEntries(await Promise.all(objects)),
  };
}

test('a life: created, rotated, updated, deleted', async () => {
  await client('one');
  await client('two', { certificate: { privateKey: { algorithm: 'RSA' } } });
  await condition('one', 'Ready');
  await condition('two', 'Ready');
  const first = await published('one');
  canaries.addJwt('access token', await tokenFor(first));
  const patch = { metadata: { annotations: { [RENEW_REQUESTED]: 'now' } } };
  await world.kube.patch(oauthClients, { namespace: TEAM, name: 'one' }, patch, { type: 'merge' });
  await waitFor(async () => (await published('one')).x5tS256 !== first.x5tS256, 60_000);
  await client('one', { clientName: 'renamed' });
  await waitFor(() => world.authorizationServer.clients().some((c) => String(c['client_name']).startsWith('renamed')));
  await condition('one', 'Ready');
  await world.kube.delete(oauthClients, { namespace: TEAM, name: 'one' });
  await waitFor(async () => (await status('one')) === undefined, 60_000);
});

const repeating = (token: string) => ({ error: 'invalid_token', error_description: `Bearer ${token} is unknown` });

test('a server that repeats our tokens in its errors', async () => {
  const { authorizationServer, initialAccessToken } = world;
  authorizationServer.setFault(
    on('POST', '/reg', () => answering(400, repeating(encodeURIComponent(initialAccessToken.slice(3, -3))))),
  );
  await client('repeated-in-part');
  assert.match(await condition('repeated-in-part', 'RegistrationRefused'), /withheld/);
  last.registrationAccessToken = '';
  authorizationServer.setFault(hearing);
  await client('updated');
  await condition('updated', 'Ready');
  assert.notEqual(last.registrationAccessToken, '');
  authorizationServer.setFault(on('PUT', '/reg/:id', () => answering(400, repeating(last.registrationAccessToken))));
  await client('updated', { clientName: 'refused' });
  assert.match(await condition('updated', 'RegistrationRefused', 'Registered'), /withheld/);
  authorizationServer.setFault(hearing);
});

test('a server that answers web pages with our tokens in them', async () => {
  const { authorizationServer, initialAccessToken } = world;
  const page = `<html><pre>Authorization: Bearer ${initialAccessToken}</pre></html>`;
  authorizationServer.setFault(on('POST', '/reg', () => answering(400, page, 'text/html')));
  await client('web-page-refusal');
  await condition('web-page-refusal', 'RegistrationRefused');
  authorizationServer.setFault(on('POST', '/reg', () => answering(500, page, 'text/html')));
  await client('web-page-error');
  await condition('web-page-error', 'OrphanSuspected');
  authorizationServer.setFault(
    on('POST', '/reg', () => ({
      ...answering(302, page, 'text/html'),
      headers: { location: `https://a.test/?${initialAccessToken}` },
    })),
  );
  await client('web-page-redirect');
  await condition('web-page-redirect', 'OrphanSuspected');
  authorizationServer.setFault(hearing);
});

const registering = (member: string, value: (token: string) => unknown): Fault =>
  on('POST', '/reg', () => ({
    kind: 'rewrite',
    body: (body) => ({ ...heardRegistration(body), [member]: value(String(body['registration_access_token'])) }),
  }));

test('a server that registers our tokens as metadata', async () => {
  const { authorizationServer, initialAccessToken } = world;
  authorizationServer.setFault(registering('scope', (token) => token));
  await client('token-as-scope', { scope: 'accounts:read' });
  assert.match(
    await condition('token-as-scope', 'MetadataRejected'),
    /scope \(asked: accounts:read; registered: .*withheld/,
  );
  authorizationServer.setFault(registering('grant_types', () => [initialAccessToken]));
  await client('token-as-grant-type');
  assert.match(await condition('token-as-grant-type', 'MetadataRejected'), /withheld/);
  authorizationServer.setFault(hearing);
});

const refusal = () =>
  answering(401, { error: 'invalid_client', error_description: `${last.accessToken} was not yours` });

test('a token endpoint that repeats an access token', async () => {
  const { authorizationServer } = world;
  assert.notEqual(last.accessToken, '');
  authorizationServer.setFault(on('POST', '/token', refusal));
  await client('token-repeated');
  await condition('token-repeated', 'CertificateRefused', 'Proved');
  authorizationServer.setFault(hearing);
  await condition('token-repeated', 'Ready');
});

test('keys where they do not belong', async () => {
  const { kube } = world;
  const ca = await createThrowawayCa('Swapped');
  canaries.addKeys('CA key', ca.keyPem);
  const tls = 'kubernetes.io/tls';
  await kube.create(secrets, opaqueSecret({ namespace: TEAM, name: 'foreign-oauth' }, { id_rsa: ca.keyPem }));
  await client('foreign');
  await condition('foreign', 'SecretNameTaken');

  const swapped = { 'tls.crt': ca.keyPem, 'tls.key': ca.certPem };
  await kube.create(secrets, opaqueSecret({ namespace: SYSTEM, name: 'swapped' }, swapped, tls));
  const broken = { 'tls.crt': ca.certPem, 'tls.key': ca.keyPem.replace(/.{9}(?=\n-----END)/, '*********') };
  await kube.create(secrets, opaqueSecret({ namespace: SYSTEM, name: 'broken' }, broken, tls));
  for (const name of ['swapped', 'broken']) {
    await apply(kube, {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: 'ClientCertificateIssuer',
      metadata: { name },
      spec: { ca: { secretRef: { name } } },
    });
  }
  const [corporate] = (await world.platform()).filter(({ kind }) => kind === 'AuthorizationServer');
  assert.ok(corporate !== undefined);
  const dynamicRegistration = { initialAccessTokenSecretRef: { name: 'swapped', key: 'tls.crt' } };
  const spec = { ...Object(corporate['spec']), dynamicRegistration };
  await apply(kube, { ...corporate, metadata: { name: 'key-for-token' }, spec });
  const readyReason = async (resource: Resource, name: string): Promise<unknown> => {
    const conditions: unknown = Object(Object(await kube.get(resource, { name }))['status'])['conditions'];
    return Array.isArray(conditions)
      ? Object(conditions.find((c) => Object(c)['type'] === 'Ready'))['reason']
      : undefined;
  };
  await waitFor(async () => (await readyReason(authorizationServers, 'key-for-token')) === 'CredentialInvalid');
  for (const name of ['swapped', 'broken']) {
    await waitFor(
      async () => !['Pending', undefined].includes(String(await readyReason(clientCertificateIssuers, name))),
    );
  }
});

test('a record that is cut off in the middle of a key', async () => {
  const ref = { namespace: SYSTEM, name: recordName(TEAM, 'two') };
  const record = await world.kube.get(secrets, ref);
  assert.ok(record !== undefined);
  const values = secretValues(record);
  const whole = values['material'] ?? '';
  const cut = Buffer.from(whole.slice(0, whole.indexOf('PRIVATE KEY') + 200)).toString('base64');
  await world.kube.patch(secrets, ref, { data: { material: cut } }, { type: 'merge' });
  await client('two', { certificate: { privateKey: { algorithm: 'ECDSA' } } });
  await condition('two', 'RecordDamaged', 'CertificateReady');
});

/** The last that registers: a token that was used and is refused is not tried again for a minute. */
test('a server that refuses the initial access token, and repeats it', async () => {
  const { authorizationServer, initialAccessToken } = world;
  authorizationServer.setFault(on('POST', '/reg', () => answering(401, repeating(initialAccessToken))));
  await client('repeated-initial-token');
  await condition('repeated-initial-token', 'InitialAccessTokenSpent');
  authorizationServer.setFault(hearing);
});

test('of every kind there was a secret, and the search finds it where it is', async () => {
  const { items } = await world.kube.list(secrets);
  const inSecrets = canaries.find(items.map((object) => Object.values(valuesOf(object)).join('\n')).join('\n'));
  const encoded = canaries.find(JSON.stringify(items));
  for (const kind of ['private key', 'CA key', 'registration access token', 'initial access token', 'client_secret']) {
    assert.ok((canaries.counts[kind] ?? 0) > 0, `no ${kind} was collected`);
    assert.ok(
      inSecrets.some((found) => found.kind === kind),
      `no ${kind} was found in Secrets`,
    );
    assert.ok(
      encoded.some((found) => found.kind === kind),
      `no ${kind} was found in Secrets, encoded`,
    );
  }
  assert.ok((canaries.counts['private key'] ?? 0) >= 5);
  assert.ok((canaries.counts['access token'] ?? 0) >= 4);
  assert.deepEqual(
    canaries.find(`before ${last.accessToken} after`).map(({ kind }) => kind),
    ['access token'],
  );
  await world.kube.create(configMaps, {
    metadata: { namespace: TEAM, name: 'control' },
    data: { text: `x${world.initialAccessToken.slice(2, 22)}` },
  });
  const found = canaries.find((await everything())['configmaps'] ?? '');
  assert.deepEqual(
    found.map(({ kind }) => kind),
    ['initial access token'],
  );
  await world.kube.delete(configMaps, { namespace: TEAM, name: 'control' });
});

test('no secret is in a log line, an event, a status, a ConfigMap, a metric or a health answer', async () => {
  await operator.stop();
  operator = await world.startOperator();
  port = Number([...(await operator.log()).matchAll(/"port":(\d+)[^\n]*"operator started"/g)].at(-1)?.[1]);
  const texts = await everything();
  for (const place of [
    'log',
    'metrics',
    'healthz',
    'readyz',
    'events',
    'oauthclients',
    'authorizationservers',
    'configmaps',
  ]) {
    assert.ok((texts[place] ?? '').length > 2, `nothing to search in ${place}`);
  }
  assert.ok((texts['log'] ?? '').split('\n').length > 50);
  assert.match(texts['log'] ?? '', /withheld/);
  assert.match(texts['events'] ?? '', /OrphanSuspected/);
  const leaks = Object.entries(texts).flatMap(([place, text]) =>
    canaries.find(text).map((found) => ({ place, ...found })),
  );
  assert.deepEqual(leaks, []);
});
