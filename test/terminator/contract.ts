/** What every driver must do, whatever its product: the pure half by itself, the other half against a real API server. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClientCertificates, Rendering, Settings, TerminatorDriver } from '../../src/terminator/driver.ts';
import { canAsk } from '../../src/terminator/desired.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { frontendProjections } from '../../src/terminator/frontends/frontend-projections.ts';
import { type Frontend, frontendResources } from '../../src/terminator/frontends/frontend.ts';
import { frontendTarget, TerminatorMemory } from '../../src/terminator/memory.ts';
import { drivers } from '../../src/terminator/registry.ts';
import { applied, settingsOf } from '../../src/terminator/frontends/settings.ts';
import { runStep, type StepContext, type TerminatorStep } from '../../src/terminator/steps.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { othersFields, type TerminatorEnvironment } from './environment.ts';

const MODES: readonly ClientCertificates[] = ['required', 'optional', 'request'];
/** An Event takes no more (its note), and what is said has a beginning and an end besides. */
const LONGEST_SENTENCE = 900;
/** All annotations of an object together are at most 256 KiB; what a driver adds is a small part of them. */
const LARGEST_SETTINGS = 4096;

export interface DriverExample {
  /** Controllers of the product; empty where it is known by no name. */
  controllers: readonly string[];
  /** What the owner of a frontend writes for this product before anything can be rendered. Default: nothing. */
  settings?: Settings;
  /** What the platform writes on its class before. Default: nothing. */
  classAnnotations?: Readonly<Record<string, string>>;
  /** The product's words for taking certificates unverified, or not asking at all, wherever they stand. */
  verifiesNothing: RegExp;
  /** Owned settings without any of which the certificate is not forwarded, and clients' own headers not replaced. */
  forwardingKeys?: readonly string[];
  /** Owners' settings each of which undoes client authentication. */
  hazards?: readonly Settings[];
  /** The settings name the object with the CAs. Default true. */
  namesBundle?: boolean;
}

const bundle = { namespace: 'payments', name: `certbound-trust-${'0'.repeat(16)}` };

/** Whoever changes its arguments is found out. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
  return value;
}

const renderingOf = (example: DriverExample, change: Partial<Rendering> = {}): Rendering =>
  frozen({
    bundle,
    frontend: { namespace: 'payments', name: 'api', settings: { ...example.settings } },
    mode: 'required',
    depth: 1,
    ...change,
  });

const without = (settings: Settings, key: string): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([each]) => each !== key));

export function driverContract(driver: TerminatorDriver, example: DriverExample): void {
  const { capabilities } = driver;
  const render = (change?: Partial<Rendering>) => driver.render(renderingOf(example, change));
  const supported = MODES.filter((mode) => mode === 'required' || capabilities[mode]);
  const owner = example.settings ?? {};

  describe(`the driver ${driver.name}`, () => {
    test('knows its own controllers, and no other driver does', () => {
      for (const controller of example.controllers) {
        assert.deepEqual(
          drivers.filter((each) => each.detect(controller)).map(({ name }) => name),
          [driver.name],
          controller,
        );
      }
      for (const none of ['', 'example.com/controller', ...example.controllers.map((each) => `x.${each}`)]) {
        assert.equal(driver.detect(none), false, none);
      }
      assert.equal(drivers.filter(({ name }) => name === driver.name).length, 1);
    });

    test('renders the same for the same, and changes nothing that it is given', () => {
      for (const mode of supported) assert.deepEqual(render({ mode }), render({ mode }));
    });

    test('names settings of its own and companions of its kinds alone', () => {
      const watched = new Set(driver.watchedKeys);
      assert.deepEqual(
        driver.ownedKeys.filter((key) => watched.has(key)),
        [],
      );
      // Values that reach a product's configuration unquoted.
      assert.doesNotMatch(driver.ownedKeys.join(), /snippet|match-cn|error-page|config-/);
      for (const mode of supported) {
        const { settings, companions } = render({ mode });
        assert.deepEqual(
          Object.keys(settings).filter((key) => !driver.ownedKeys.includes(key)),
          [],
        );
        for (const { resource, name } of companions) {
          assert.ok(driver.companionKinds.includes(resource), resource.kind);
          assert.match(name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
        }
      }
    });

    test('has a rendering of its own for each mode that it can do', () => {
      if (driver.inEffectBy === 'proof') return;
      const texts = supported.map((mode) => JSON.stringify(render({ mode })));
      assert.equal(new Set(texts).size, supported.length);
      const optIn = { server: 'corporate', mode: 'manage', invalid: undefined } as const;
      const asked = MODES.filter((clientCertificates) => canAsk(driver, { optIn: { ...optIn, clientCertificates } }));
      assert.deepEqual(asked, supported);
    });

    test('verifies wherever it is asked to', () => {
      for (const mode of supported) {
        const text = JSON.stringify(render({ mode }));
        if (mode !== 'request') assert.doesNotMatch(text, example.verifiesNothing, mode);
        else if (driver.inEffectBy !== 'proof') assert.match(text, example.verifiesNothing);
      }
    });

    test('names the bundle, and finds it again', () => {
      if (example.namesBundle === false) {
        assert.equal(driver.bundleOf(render().settings), undefined);
        return;
      }
      for (const mode of supported) {
        const named = driver.bundleOf(render({ mode }).settings);
        // Where nothing is verified there need be none.
        if (mode !== 'request' || named !== undefined) assert.deepEqual(named, bundle);
      }
      const other = { namespace: 'payments', name: `certbound-trust-${'1'.repeat(16)}` };
      assert.deepEqual(driver.bundleOf(render({ bundle: other }).settings), other);
      assert.equal(driver.bundleOf({}), undefined);
    });

    test('says where clients’ own certificate headers are replaced, and where not', () => {
      const { settings } = render();
      const set = { ...owner, ...settings };
      if (capabilities.strips === 'always') {
        assert.equal(driver.overwritesHeaders(set), true);
        return;
      }
      assert.equal(driver.overwritesHeaders(owner), false);
      if (!capabilities.forwards || driver.ownedKeys.length === 0) return;
      assert.equal(driver.overwritesHeaders(set), true);
      assert.ok((example.forwardingKeys ?? []).length > 0);
      for (const key of example.forwardingKeys ?? []) {
        assert.equal(driver.overwritesHeaders(without(set, key)), false, key);
      }
    });

    test('tells the owner what undoes client authentication, by the setting that does', () => {
      assert.equal(driver.hazard({ ...owner, ...render().settings }), undefined);
      for (const hazard of example.hazards ?? []) {
        const said = driver.hazard({ ...owner, ...render().settings, ...hazard });
        assert.ok(
          Object.keys(hazard).some((key) => said?.message.includes(key) === true),
          JSON.stringify(hazard),
        );
        assert.ok((said?.message ?? '').length <= LONGEST_SENTENCE);
        for (const key of Object.keys(hazard)) assert.ok(driver.watchedKeys.includes(key), key);
      }
    });

    test('says what it needs to be told first, and reads nothing else', () => {
      const classAnnotations = example.classAnnotations ?? {};
      assert.equal(driver.missing?.({ settings: owner, classAnnotations }), undefined);
      for (const key of Object.keys(owner)) {
        assert.ok(driver.watchedKeys.includes(key), key);
        const said = driver.missing?.({ settings: without(owner, key), classAnnotations });
        assert.ok(said?.includes(key) === true && said.length <= LONGEST_SENTENCE, key);
      }
      for (const key of Object.keys(classAnnotations)) {
        const said = driver.missing?.({ settings: owner, classAnnotations: without(classAnnotations, key) });
        assert.ok(said?.includes(key) === true && said.length <= LONGEST_SENTENCE, key);
      }
    });

    test('fits into an object, with the longest names there are', () => {
      const namespace = 'n'.repeat(63);
      const frontend = { namespace, name: 'f'.repeat(253), settings: { ...owner } };
      const { settings, companions } = render({ frontend, bundle: { ...bundle, namespace } });
      assert.ok(JSON.stringify(settings).length <= LARGEST_SETTINGS);
      for (const { name } of companions) assert.ok(name.length <= 63);
    });
  });
}

const SPECS = {
  Ingress: {
    ingressClassName: 'any',
    rules: [
      {
        host: 'api.example.test',
        http: {
          paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'api', port: { number: 80 } } } }],
        },
      },
    ],
  },
  HTTPProxy: { virtualhost: { fqdn: 'api.example.test', tls: { secretName: 'tls' } } },
  Gateway: {
    gatewayClassName: 'any',
    listeners: [{ name: 'https', protocol: 'HTTPS', port: 443, hostname: 'api.example.test' }],
  },
} as const;

/** How the settings get onto a frontend and off it again; only where the driver writes any. */
export function driverWriteContract(
  driver: TerminatorDriver,
  example: DriverExample,
  environment: () => TerminatorEnvironment,
): void {
  const resource = frontendResources[driver.frontend];
  const namespace = `contract-${driver.name}`;
  const memory = new TerminatorMemory();
  const now = Date.now();
  let count = 0;

  async function owned(): Promise<KubernetesObject> {
    await environment().namespace(namespace);
    const entries = Object.entries(example.settings ?? {}).filter(([key]) => !key.startsWith('spec.'));
    const annotations = { 'example.com/team': 'payments', ...Object.fromEntries(entries) };
    const name = `api-${++count}`;
    return environment().put(
      resource,
      { metadata: { namespace, name, annotations }, spec: SPECS[driver.frontend] },
      'argocd',
    );
  }
  const live = async ({ metadata: { name } }: KubernetesObject): Promise<KubernetesObject> => {
    const object = await environment().people.get(resource, { namespace, name });
    assert.ok(object !== undefined);
    return object;
  };
  const frontendOf = (object: KubernetesObject): Frontend => {
    const frontend = frontendProjections[driver.frontend](object);
    assert.ok(frontend !== undefined);
    return frontend;
  };
  const settings = driver.render(renderingOf(example)).settings;
  const configure = async (object: KubernetesObject, name: 'configure' | 'withdraw'): Promise<void> => {
    const frontend = frontendOf(object);
    const step: TerminatorStep = name === 'configure' ? { name, frontend, settings } : { name, frontend };
    const cache = { remember: () => undefined, forget: () => undefined };
    const context: StepContext = {
      client: environment().client,
      frontends: cache,
      bundles: cache,
      companions: cache,
      memory,
    };
    await runStep(step, context, { now, signal: AbortSignal.timeout(30_000) });
  };
  const withoutTimes = (object: KubernetesObject): unknown =>
    JSON.parse(
      JSON.stringify(othersFields(object.metadata), (key, value: unknown) => (key === 'time' ? undefined : value)),
    );

  describe(`settings of the driver ${driver.name} at the API server`, () => {
    test('they are applied, a second time without a change, and others’ fields stay theirs', async () => {
      const before = await owned();
      await configure(before, 'configure');
      const written = await live(before);
      assert.deepEqual(settingsOf(written, new Set(driver.ownedKeys)), settings);
      assert.deepEqual(withoutTimes(written), withoutTimes(before));
      assert.deepEqual(frontendOf(written).ownKeys.toSorted(), Object.keys(settings).toSorted());
      await configure(written, 'configure');
      assert.equal((await live(before)).metadata.resourceVersion, written.metadata.resourceVersion);
    });

    test('withdrawn, nothing of them is left', async () => {
      const before = await owned();
      await configure(before, 'configure');
      await configure(await live(before), 'withdraw');
      const after = await live(before);
      assert.deepEqual(after.metadata.annotations, before.metadata.annotations);
      assert.deepEqual(after['spec'], before['spec']);
      const managers = (after.metadata.managedFields ?? []).map(({ manager }) => manager);
      assert.ok(!managers.includes(FIELD_MANAGER), managers.join());
    });

    test('whoever set one of them first keeps it, and is named', async () => {
      const before = await owned();
      const [key = ''] = Object.keys(settings);
      const theirs = applied({ [key]: key.startsWith('spec.') ? '"theirs"' : 'theirs' });
      const { name } = before.metadata;
      const { annotations, spec } = theirs;
      const other = { metadata: { namespace, name, ...(annotations && { annotations }) }, ...(spec && { spec }) };
      const contested = await environment().put(resource, other, 'somebody-else');
      await configure(contested, 'configure');
      const target = frontendTarget(frontendOf(contested).uid);
      const refusal = memory.refusal(target, frontendOf(contested).resourceVersion, now);
      assert.equal(refusal?.code, 'ConfigurationConflict');
      assert.match(refusal?.message ?? '', /somebody-else/);
      assert.deepEqual(await live(before), contested);
    });
  });
}
