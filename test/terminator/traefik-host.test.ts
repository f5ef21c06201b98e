/** What becomes of a host at Traefik, which asks nobody for a certificate where the Ingresses of a host are not set alike. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bundleName } from '../../src/terminator/bundle.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { objectTarget } from '../../src/terminator/memory.ts';
import { inEffect } from '../../src/terminator/rules/rules.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { corporateCa, HOST, otherCa, World, type IngressRequest } from './world.ts';

const controller = 'traefik.io/ingress-controller';
const scope = { controller, host: HOST };
const key = `${controller}|${HOST}`;
const OPTIONS = 'traefik.ingress.kubernetes.io/router.tls.options';
const MIDDLEWARES = 'traefik.ingress.kubernetes.io/router.middlewares';
const bundlePem = caBundle([corporateCa]).pem;
const className = 'traefik';

const rendered = traefik.render({
  bundle: { namespace: 'payments', name: bundleName(scope) },
  frontend: { namespace: 'payments', name: 'api', settings: {} },
  mode: 'required',
  depth: 1,
});
const configured = { annotations: rendered.settings, managers: { [FIELD_MANAGER]: Object.keys(rendered.settings) } };
const stranger: IngressRequest = { name: 'other', server: '-', className };

/** Granted and opted in; nothing is written yet. */
const optedIn = (request: IngressRequest = {}): World =>
  new World()
    .ingressClass(className, controller)
    .server()
    .issuer('corporate-clients', corporateCa)
    .ingress({ className, ...request });

/** With its bundle and its companions. */
function prepared(request: IngressRequest = {}): World {
  const world = optedIn(request).bundle(bundlePem, undefined, 'payments', scope);
  for (const companion of rendered.companions) world.companion(companion, scope);
  return world;
}

const said = (world: World): string[] => world.said('payments/api', key);
const nextStep = (world: World): string | undefined => world.plan(key).next?.name;
function effective(world: World): boolean {
  const view = world.view(key);
  const member = view.observed.members.find(({ frontend }) => frontend.name === 'api');
  return member !== undefined && inEffect(member, view);
}

describe('at Traefik', () => {
  test('the bundle comes first, then what is beside it, then the annotations', () => {
    assert.equal(nextStep(optedIn()), 'writeBundle');
    assert.equal(nextStep(optedIn().bundle(bundlePem, undefined, 'payments', scope)), 'writeCompanion');
    assert.equal(nextStep(prepared()), 'configure');
    assert.equal(nextStep(prepared(configured)), undefined);
    assert.ok(effective(prepared(configured)));
  });

  test('what is beside it is heard of before the annotations name it, and goes after they are forgotten', () => {
    const world = prepared();
    const written = objectTarget('TLSOption', 'payments', bundleName(scope));
    world.memory.succeed(written, world.now);
    assert.equal(nextStep(world), undefined);
    const { at } = world.plan(key);
    assert.equal(at, world.now + 5_000);
    world.now = at;
    assert.equal(nextStep(world), 'configure');
    // What was ours and is lost is put right at once: its host is open meanwhile.
    const [, second] = Object.entries(rendered.settings);
    assert.ok(second !== undefined);
    const half = prepared({ annotations: { [second[0]]: second[1] }, managers: { [FIELD_MANAGER]: [second[0]] } });
    half.memory.succeed(written, half.now);
    assert.equal(nextStep(half), 'configure');

    const left = prepared({ server: '-' });
    left.memory.withdrew('payments', left.now);
    assert.equal(nextStep(left), undefined);
    assert.equal(left.plan(key).at, left.now + 5_000);
    left.now += 5_000;
    assert.equal(nextStep(left), 'deleteCompanion');
  });

  test('an Ingress on the host that has not opted in is in the way, before and after', () => {
    for (const world of [prepared().ingress(stranger), prepared(configured).ingress(stranger)]) {
      assert.deepEqual(said(world), ['HostShared!']);
      assert.equal(nextStep(world), undefined);
      assert.equal(effective(world), false);
    }
    // A CA of a rollover still reaches the host, for when the other is gone.
    const rolled = prepared(configured).ingress(stranger).issuer('corporate-clients', otherCa);
    assert.equal(nextStep(rolled), 'writeBundle');
    assert.equal(nextStep(optedIn().ingress(stranger)), undefined, 'nothing is begun');
  });

  test('the platform hears of it, of an Ingress that it lists too', () => {
    const world = prepared(configured).ingress(stranger);
    world.server({ terminators: [{ namespace: 'payments', name: 'api' }] });
    const server = world.servers.get(undefined, 'corporate');
    assert.ok(server !== undefined);
    const [view] = world.views.of(server, world.now);
    assert.equal(view?.problem?.reason, 'HostShared');
    assert.equal(view.inEffect, false);
    const other = world.frontends.get('Ingress', 'payments', 'other');
    assert.ok(other !== undefined);
    // Whose clients are looked at again when it comes and goes, and when their class changes.
    assert.deepEqual(world.views.affected.serversOf(other), ['corporate']);
    assert.deepEqual(world.views.affected.serversOfClass(className), ['corporate']);
    assert.deepEqual(world.views.affected.serversOfClass('elsewhere'), []);
  });

  test('an Ingress that was given the same TLSOption by hand is none', () => {
    const world = prepared(configured).ingress({
      ...stranger,
      annotations: { [OPTIONS]: rendered.settings[OPTIONS] ?? '' },
    });
    assert.deepEqual(said(world), []);
    assert.ok(effective(world));
  });

  test('nor is one that opts in alike; the host is in effect once both are set', () => {
    const world = prepared(configured).ingress({ name: 'other', className });
    assert.deepEqual(said(world), []);
    assert.equal(nextStep(world), 'configure');
    assert.equal(effective(world), false);
    world.ingress({ name: 'other', className, ...configured });
    assert.equal(nextStep(world), undefined);
    assert.ok(effective(world));
  });

  test('one in another namespace, or with other hosts, has objects of other names', () => {
    const elsewhere = prepared().server({ namespaces: ['payments', 'orders'] });
    elsewhere.ingress({ namespace: 'orders', name: 'other', className });
    assert.deepEqual(said(elsewhere), ['HostShared!']);
    const wider = prepared().ingress({ name: 'other', className, hosts: ['a.example.test', HOST] });
    assert.deepEqual(said(wider), ['HostShared!']);
  });

  test('the owner’s middlewares are the owner’s: what to write is said, and the certificate is not asked for before', () => {
    const list = { [MIDDLEWARES]: 'payments-limit@kubernetescrd' };
    const world = prepared({ annotations: list, managers: { argocd: [MIDDLEWARES] } });
    assert.deepEqual(said(world), ['ConfigurationConflict!']);
    assert.equal(nextStep(world), undefined);
    const wanted = `${rendered.settings[MIDDLEWARES]},payments-limit@kubernetescrd`;
    const { findings } = world.plan(key);
    assert.match(findings[0]?.message ?? '', new RegExp(`argocd.*router.middlewares: "${wanted}"`));
    const followed = { annotations: { [MIDDLEWARES]: wanted }, managers: { argocd: [MIDDLEWARES] } };
    world.ingress({ className, ...followed });
    assert.deepEqual(said(world), []);
    assert.equal(nextStep(world), 'configure');
  });

  test('without TLS on the router there is nothing to ask', () => {
    const plain = { annotations: { 'traefik.ingress.kubernetes.io/router.tls': 'false' } };
    assert.ok(said(prepared(plain)).some((reason) => reason.startsWith('PlainHTTP')));
  });
});
