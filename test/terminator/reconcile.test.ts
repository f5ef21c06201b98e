import assert from 'node:assert/strict';
import * as hooks from 'node:test';
import { test } from 'node:test';
import { ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { ingresses, type KubernetesObject, namespaces, secrets } from '../../src/kube/resource.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import type { Wanted } from '../../src/terminator/desired.ts';
import { frontendTarget, TerminatorMemory } from '../../src/terminator/memory.ts';
import { runStep } from '../../src/terminator/steps.ts';
import { isEmptyTrust } from '../../src/x509/trust.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { controller, type Operator, othersFields, TerminatorEnvironment } from './environment.ts';
import { corporateCa, otherCa } from './world.ts';

const prefix = 'nginx.ingress.kubernetes.io';
const VERIFY = `${prefix}/auth-tls-verify-client`;
const keys = ['secret', 'verify-client', 'verify-depth', 'pass-certificate-to-upstream'].map(
  (n) => `${prefix}/auth-tls-${n}`,
);
const bundlePem = caBundle([corporateCa]).pem;

let environment: TerminatorEnvironment;
let operator: Operator;
let count = 0;

hooks.before(async () => {
  environment = await TerminatorEnvironment.start();
  await environment.issuer('corporate-clients', corporateCa);
  operator = await environment.operator();
});
hooks.after(() => environment?.stop());

interface Target {
  namespace: string;
  name: string;
  host: string;
  server: string;
}

/** A namespace, a host and a server of their own for each test. */
async function target(issuers: readonly string[] = ['corporate-clients']): Promise<Target> {
  const n = ++count;
  const namespace = await environment.namespace(`team-${n}`);
  const server = `server-${n}`;
  await environment.server(server, [namespace], issuers);
  return { namespace, name: 'api', host: `api-${n}.example.test`, server };
}

const caOf = (secret: KubernetesObject | undefined): string => {
  const data = secret?.['data'];
  const ca = typeof data === 'object' && data !== null && 'ca.crt' in data ? data['ca.crt'] : undefined;
  return typeof ca === 'string' ? Buffer.from(ca, 'base64').toString() : '';
};
const written = (object: KubernetesObject | undefined): (string | undefined)[] =>
  keys.map((key) => object?.metadata.annotations?.[key]);
const wanted = ({ namespace, host }: Target, verify = 'on'): string[] => [
  `${namespace}/${bundleName({ controller, host })}`,
  verify,
  '1',
  'true',
];
const nothing = keys.map(() => undefined);
const reasons = async (namespace: string): Promise<string[]> =>
  (await environment.events(namespace)).map(({ reason }) => reason).toSorted();

const fields = (object: KubernetesObject | undefined): unknown =>
  object?.metadata.managedFields?.map(({ manager, operation, fieldsV1 }) => ({ manager, operation, fieldsV1 }));
const alive = (): void => undefined;

test('opt-in: the bundle, then the annotations, and then silence', async () => {
  const api = await target();
  const asWritten = await environment.ingress(api, { server: api.server });
  await operator.settle();

  assert.deepEqual(written(await environment.live(api)), wanted(api));
  const bundle = await environment.bundle(api);
  assert.equal(caOf(bundle), bundlePem);
  assert.equal(bundle?.['type'], 'Opaque');
  assert.equal(bundle?.metadata.labels?.[ROLE_LABEL], 'trust-bundle');
  assert.deepEqual(await environment.writes(api.namespace), ['create secrets 201', 'patch ingresses 200']);

  const live = await environment.live(api);
  assert.deepEqual(othersFields(live?.metadata ?? assert.fail()), othersFields(asWritten.metadata));
  const ours = live?.metadata.managedFields?.find(({ manager }) => manager === FIELD_MANAGER);
  assert.deepEqual(ours?.fieldsV1, {
    'f:metadata': { 'f:annotations': Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) },
  });

  await operator.settle();
  const restarted = await environment.operator();
  await restarted.settle();
  assert.equal((await environment.writes(api.namespace)).length, 2);
  assert.deepEqual(await environment.events(api.namespace), []);
});

test('opt-out: the annotations, then the bundle; nothing of ours is left and nothing else was touched', async () => {
  const api = await target();
  const before = await environment.ingress(api, undefined);
  await environment.ingress(api, { server: api.server });
  await operator.settle();
  assert.deepEqual(written(await environment.live(api)), wanted(api));

  await environment.ingress(api, undefined);
  await operator.settle();
  const live = await environment.live(api);
  assert.deepEqual(live?.metadata.annotations, before.metadata.annotations);
  assert.deepEqual(live?.['spec'], before['spec']);
  assert.deepEqual(fields(live), fields(before));
  assert.equal(await environment.bundle(api), undefined);
  assert.deepEqual((await environment.writes(api.namespace)).slice(2), ['patch ingresses 200', 'delete secrets 200']);
});

test('mode off is an opt-out; the bundle stays for the other Ingress of the host', async () => {
  const api = await target();
  const second = { ...api, name: 'second' };
  await environment.ingress(api, { server: api.server });
  await environment.ingress(second, { server: api.server });
  await operator.settle();
  await environment.ingress(api, { server: api.server, mode: 'off' });
  await operator.settle();
  assert.deepEqual(written(await environment.live(api)), nothing);
  assert.deepEqual(written(await environment.live(second)), wanted(api));
  assert.equal(caOf(await environment.bundle(api)), bundlePem);
});

test('another manager’s value is not overwritten: its owner is told who, and what to write', async () => {
  const api = await target();
  await environment.ingress(api, { server: api.server }, { [VERIFY]: 'optional' });
  await operator.settle();
  assert.equal((await environment.live(api))?.metadata.annotations?.[VERIFY], 'optional');
  const [told, more] = await environment.events(api.namespace);
  assert.equal(more, undefined);
  assert.equal(told?.reason, 'ConfigurationConflict');
  assert.match(told.note, /^Field manager argocd sets /);
  for (const [n, value] of wanted(api).entries()) assert.ok(told.note.includes(`${keys[n]}: "${value}"`), told.note);

  await environment.ingress(api, { server: api.server });
  await operator.settle();
  assert.deepEqual(written(await environment.live(api)), wanted(api));
  assert.deepEqual(await reasons(api.namespace), ['ClientCertificatesConfigured', 'ConfigurationConflict']);
});

test('what is still wrong after a restart is not told again; what comes back is', async () => {
  const api = await target();
  const conflict = { [VERIFY]: 'optional' };
  await environment.ingress(api, { server: api.server }, conflict);
  await operator.settle();
  const versions = async () => (await environment.events(api.namespace)).map((event) => event.resourceVersion);
  const before = await versions();
  assert.equal(before.length, 1);
  const restarted = await environment.operator();
  await restarted.settle();
  assert.deepEqual(await versions(), before);

  await environment.ingress(api, { server: api.server });
  await restarted.settle();
  await environment.ingress(api, { server: api.server }, conflict);
  await restarted.settle();
  const told = (await environment.events(api.namespace)).toSorted((a, b) => a.reason.localeCompare(b.reason));
  assert.deepEqual(
    told.map((event) => `${event.reason} ${event.count}`),
    ['ClientCertificatesConfigured 1', 'ConfigurationConflict 2'],
  );
});

test('a conflict that the cache did not know of is refused by the API server, never forced', async () => {
  const api = await target();
  await environment.ingress(api, { server: api.server });
  await operator.caughtUp();
  const stale = operator.caches.ingresses.get(api.namespace, api.name) ?? assert.fail();
  await environment.ingress(api, { server: api.server }, { [VERIFY]: 'optional' });
  const memory = new TerminatorMemory();
  await runStep(
    { name: 'configure', frontend: stale, settings: { [VERIFY]: 'on' } },
    { client: environment.client, ...operator.kinds, memory },
    { now: 0, signal: AbortSignal.timeout(10_000) },
  );
  const refusal = memory.refusal(frontendTarget(stale.uid), stale.resourceVersion, 1);
  assert.equal(refusal?.code, 'ConfigurationConflict');
  assert.match(refusal.message, /^Field manager argocd /);
  assert.equal((await environment.live(api))?.metadata.annotations?.[VERIFY], 'optional');
});

test('an Ingress that has vanished is not made anew, nor is its successor annotated in its place', async () => {
  const api = await target();
  await environment.ingress(api, { server: api.server });
  await operator.caughtUp();
  const vanished = operator.caches.ingresses.get(api.namespace, api.name) ?? assert.fail();
  const annotate = async (): Promise<string | undefined> => {
    const memory = new TerminatorMemory();
    await runStep(
      { name: 'configure', frontend: vanished, settings: { [VERIFY]: 'on' } },
      { client: environment.client, ...operator.kinds, memory },
      { now: 0, signal: AbortSignal.timeout(10_000) },
    );
    return memory.refusal(frontendTarget(vanished.uid), vanished.resourceVersion, 1)?.code;
  };
  await environment.people.delete(ingresses, api);
  assert.equal(await annotate(), 'KubernetesConflict');
  assert.equal(await environment.live(api), undefined);
  await environment.ingress(api, undefined);
  assert.equal(await annotate(), 'KubernetesConflict');
  assert.deepEqual(written(await environment.live(api)), nothing);
});

test('a bundle that was edited or deleted is written again', async () => {
  const api = await target();
  await environment.ingress(api, { server: api.server });
  await operator.settle();
  const name = bundleName({ controller, host: api.host });
  const ref = { namespace: api.namespace, name };
  const evil = { 'ca.crt': Buffer.from(bundlePem + otherCa).toString('base64'), 'ca.crl': 'eA==' };
  await environment.people.patch(secrets, ref, { data: evil }, { type: 'merge' });
  await operator.settle();
  const restored = await environment.bundle(api);
  assert.equal(caOf(restored), bundlePem);
  assert.deepEqual(Object.keys(restored?.['data'] ?? {}), ['ca.crt']);

  await environment.people.delete(secrets, ref);
  await operator.settle();
  assert.equal(caOf(await environment.bundle(api)), bundlePem);
  assert.deepEqual(await reasons(api.namespace), []);
});

test('mode report writes nothing and says what to commit, once', async () => {
  const api = await target();
  const before = await environment.ingress(api, { server: api.server, mode: 'report' });
  await operator.settle();
  await operator.settle();
  assert.deepEqual(await environment.writes(api.namespace), []);
  assert.equal((await environment.live(api))?.metadata.resourceVersion, before.metadata.resourceVersion);
  const [told, more] = await environment.events(api.namespace);
  assert.equal(more, undefined);
  assert.equal(told?.reason, 'ReportOnly');
  for (const [n, value] of wanted(api).entries()) assert.ok(told.note.includes(`${keys[n]}: "${value}"`), told.note);
  assert.match(told.note, /ClientCertificateIssuer corporate-clients/);
});

test('what is not granted gets nothing, and a grant that is lost takes nothing away', async () => {
  const api = await target();
  const stranger = { ...api, namespace: await environment.namespace(`${api.namespace}-stranger`) };
  await environment.ingress(stranger, { server: api.server });
  await operator.settle();
  assert.deepEqual(await environment.writes(stranger.namespace), []);
  assert.deepEqual(await reasons(stranger.namespace), ['NotGranted']);

  await environment.ingress(api, { server: api.server });
  await operator.settle();
  const writes = await environment.writes(api.namespace);
  await environment.server(api.server, [], ['corporate-clients']);
  await operator.settle();
  await environment.people.delete(authorizationServers, { name: api.server });
  await operator.settle();
  assert.deepEqual(await environment.writes(api.namespace), writes);
  assert.deepEqual(written(await environment.live(api)), wanted(api));
  assert.equal(caOf(await environment.bundle(api)), bundlePem);
  assert.deepEqual(await reasons(api.namespace), ['HostShared', 'NotGranted']);
});

test('a foreign Secret of the bundle’s name is left alone, and without a bundle there is no annotation', async () => {
  const api = await target();
  const metadata = { namespace: api.namespace, name: bundleName({ controller, host: api.host }) };
  const foreign = await environment.put(secrets, { metadata, data: { 'ca.crt': 'eA==' } });
  await environment.ingress(api, { server: api.server });
  await operator.settle();
  assert.equal((await environment.bundle(api))?.metadata.resourceVersion, foreign.metadata.resourceVersion);
  assert.deepEqual(written(await environment.live(api)), nothing);
  assert.deepEqual(await reasons(api.namespace), ['BundleNameTaken']);

  await environment.people.delete(secrets, metadata);
  environment.clock.advance(60_000);
  await operator.settle();
  assert.deepEqual(written(await environment.live(api)), wanted(api));
});

test('one namespace that refuses its bundle does not hold up the host in another', async () => {
  const api = await target();
  const ending = { ...api, namespace: await environment.namespace(`${api.namespace}-0-ending`) };
  await environment.server(api.server, [api.namespace, ending.namespace], ['corporate-clients']);
  await environment.ingress(ending, { server: api.server });
  await environment.ingress(api, { server: api.server });
  // Nobody empties it here, so that it stays Terminating, where nothing can be created.
  await environment.people.delete(namespaces, { name: ending.namespace });
  await operator.settle();
  assert.deepEqual(await environment.writes(ending.namespace), ['create secrets 403']);
  assert.deepEqual(written(await environment.live(api)), wanted(api));
});

test('annotations that are removed again and again are given up after three times, naming the other writer', async () => {
  const api = await target();
  await environment.ingress(api, { server: api.server });
  await operator.settle();
  const removal = { metadata: { annotations: Object.fromEntries(keys.map((key) => [key, null])) } };
  for (let n = 1; n <= 3; n++) {
    assert.deepEqual(written(await environment.live(api)), wanted(api));
    await environment.people.patch(ingresses, api, removal, { type: 'merge' });
    await operator.settle();
  }
  assert.deepEqual(written(await environment.live(api)), nothing);
  const told = (await environment.events(api.namespace)).find(({ reason }) => reason === 'ConfigurationReverted');
  assert.match(told?.note ?? '', /field manager (argocd|people)/);
  const writes = await environment.writes(api.namespace);
  await operator.settle();
  assert.deepEqual(await environment.writes(api.namespace), writes);

  environment.clock.advance(10 * 60_000);
  await operator.settle();
  assert.deepEqual(written(await environment.live(api)), wanted(api));
});

test('a server without issuers: a bundle that trusts nobody, the same one after a restart, until there is a CA', async () => {
  const api = await target([]);
  await environment.ingress(api, { server: api.server });
  await operator.settle();
  const empty = caOf(await environment.bundle(api));
  assert.ok(isEmptyTrust(empty));
  assert.deepEqual(written(await environment.live(api)), wanted(api));
  const restarted = await environment.operator();
  await restarted.settle();
  assert.equal(caOf(await environment.bundle(api)), empty);
  assert.equal((await environment.writes(api.namespace)).length, 2);

  await environment.server(api.server, [api.namespace], ['corporate-clients']);
  await operator.settle();
  assert.equal(caOf(await environment.bundle(api)), bundlePem);
  assert.deepEqual((await environment.writes(api.namespace)).slice(2), ['update secrets 200']);
});

test('a CA rollover reaches every bundle without a write to an Ingress', async () => {
  const issuer = 'rollover';
  await environment.issuer(issuer, corporateCa);
  const api = await target([issuer]);
  await environment.ingress(api, { server: api.server });
  await operator.settle();
  await environment.issuer(issuer, corporateCa + otherCa);
  await operator.settle();
  assert.equal(caOf(await environment.bundle(api)), caBundle([corporateCa, otherCa]).pem);
  assert.deepEqual((await environment.writes(api.namespace)).slice(2), ['update secrets 200']);
});

test('killed before or after any step, the next life ends in the same state', async () => {
  const steps = ['writeBundle', 'configure', 'withdraw', 'deleteBundle'];
  for (const moment of ['before', 'after'] as const) {
    for (const killedAt of steps) {
      const api = await target();
      const die = (_kind: string, step: string): void => {
        if (step === killedAt) throw new Error('killed');
      };
      const mortal = (): Promise<Operator> =>
        environment.operator(moment === 'before' ? { before: die, after: alive } : { before: alive, after: die });
      const live = async (expected: (string | undefined)[], dies: boolean): Promise<void> => {
        if (dies) {
          const first = await mortal();
          await assert.rejects(first.settle(), /killed/);
          await first.stop();
        }
        await operator.settle();
        assert.deepEqual(written(await environment.live(api)), expected);
      };
      await environment.ingress(api, { server: api.server });
      await live(wanted(api), ['writeBundle', 'configure'].includes(killedAt));
      assert.equal(caOf(await environment.bundle(api)), bundlePem);
      await environment.ingress(api, undefined);
      await live(nothing, ['withdraw', 'deleteBundle'].includes(killedAt));
      assert.equal(await environment.bundle(api), undefined);
    }
  }
});

test('another life of the operator that knows nothing of the last one’s bundle adopts it', async () => {
  const api = await target();
  await environment.ingress(api, { server: api.server });
  await operator.caughtUp();
  const late = await environment.operator();
  await late.caughtUp();
  const write = (life: Operator): Promise<void> => {
    const [key = ''] = life.kind.keysForFrontend(life.caches.ingresses.get(api.namespace, api.name) ?? assert.fail());
    const [scopeController = '', host = ''] = key.split('|');
    const scope = { controller: scopeController, host };
    const wantedBundle: Wanted = {
      settings: {},
      companions: [],
      bundleKind: 'Secret',
      server: api.server,
      scope,
      ca: bundlePem,
    };
    return runStep(
      { name: 'writeBundle', namespace: api.namespace, wanted: wantedBundle, current: undefined, basis: '' },
      { client: environment.client, ...life.kinds, memory: new TerminatorMemory() },
      { now: 0, signal: AbortSignal.timeout(10_000) },
    );
  };
  await write(operator);
  await write(late);
  assert.equal(caOf(await environment.bundle(api)), bundlePem);
  assert.deepEqual(await environment.writes(api.namespace), ['create secrets 201', 'create secrets 409']);
  await late.settle();
  assert.deepEqual(written(await environment.live(api)), wanted(api));
});
