import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { caBundle } from '../../src/x509/bundle.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { companionObject } from '../../src/terminator/companion.ts';
import { type Distribution, distribution } from '../../src/terminator/distribution.ts';
import { frontendTarget, objectTarget } from '../../src/terminator/memory.ts';
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { unasked, UNPROVED } from '../../src/terminator/proof/verdict.ts';
import type { Scope } from '../../src/terminator/scope.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';
import { emptyTrust, isEmptyTrust } from '../../src/x509/trust.ts';
import { corporateCa, HOST, otherCa, SCOPE, settledWorld, World } from './world.ts';

const sha256 = (pem: string): string => createHash('sha256').update(new X509Certificate(pem).raw).digest('hex');
const { settings: annotations } = nginx.render({
  frontend: { namespace: 'payments', name: 'api', settings: {} },
  bundle: { namespace: 'payments', name: bundleName(SCOPE) },
  mode: 'required',
  depth: 1,
});
const terminators = [{ namespace: 'payments', name: 'api' }];
const listed = (): World => settledWorld().server({ terminators });
const bundle = caBundle([corporateCa]).pem;

function distributed(world: World, ca: string | undefined = sha256(corporateCa)): Distribution {
  const server = world.servers.get(undefined, 'corporate');
  assert.ok(server !== undefined);
  return distribution({ server, caSha256: ca, terminators: world.views.of(server, world.now) });
}

const words = (result: Distribution): string => {
  return result.state === 'distributed' ? `distributed ${result.lagging.join()}` : `${result.state} ${result.reason}`;
};

const told = (world: World, ca?: string): string => words(distributed(world, ca));

function selfSigned(world: World): string {
  const server = world.servers.get(undefined, 'corporate') ?? assert.fail();
  return words(distribution({ server, caSha256: undefined, terminators: world.views.of(server, world.now) }));
}

const key = (host: string): string => `k8s.io/ingress-nginx|${host}`;

test('nothing of ours is in front of the server', () => {
  assert.deepEqual(distributed(new World().server()), { state: 'distributed', lagging: [] });
});

test('from opted in to trusted: the bundle, then the annotations', () => {
  assert.equal(told(listed()), 'waiting TerminatorsPending');
  assert.equal(told(listed().bundle(bundle)), 'waiting TerminatorsPending');
  assert.equal(told(listed().bundle(bundle).ingress({ annotations })), 'distributed ');
  assert.equal(told(listed().ingress({ annotations })), 'waiting TerminatorsPending');
});

test('the CA itself has to be in the bundle, however its hash is written', () => {
  const world = listed().bundle(bundle).ingress({ annotations });
  assert.equal(told(world, sha256(otherCa)), 'waiting TerminatorsPending');
  const colons = sha256(corporateCa).toUpperCase().match(/../g)?.join(':');
  assert.equal(told(world, colons), 'distributed ');
});

test('the answer follows the caches', () => {
  const world = listed().bundle(bundle);
  assert.equal(told(world), 'waiting TerminatorsPending');
  assert.equal(told(world.ingress({ annotations })), 'distributed ');
  assert.equal(told(world.bundle(caBundle([otherCa]).pem)), 'waiting TerminatorsPending');
  assert.equal(told(world.bundle(bundle)), 'distributed ');
  assert.equal(told(world.issuer('corporate-clients', 'rubbish')), 'blocked InvalidPEM');
});

test('a listed terminator that somebody has to put right blocks, and is named', () => {
  const missing = distributed(listed().server({ terminators: [{ namespace: 'edge', name: 'mtls' }] }));
  assert.deepEqual(missing, {
    state: 'blocked',
    reason: 'TerminatorMissing',
    message: 'Ingress edge/mtls: There is no such Ingress: create it.',
    terminators: ['Ingress edge/mtls'],
  });
  assert.equal(told(listed().ingress({ server: '-' })), 'blocked TerminatorNotOptedIn');
  assert.equal(told(listed().ingress({ server: 'other' })), 'blocked TerminatorNotOptedIn');
  assert.equal(told(listed().ingress({ mode: 'off' })), 'blocked TerminatorNotOptedIn');
  assert.equal(told(listed().ingress({ deleting: true })), 'blocked TerminatorMissing');
  assert.equal(told(listed().ingress({ tls: [] })), 'blocked NoTLS');
  assert.equal(told(listed().ingress({ mode: 'report' })), 'blocked ReportOnly');
  assert.equal(told(listed().ingress({ className: undefined })), 'blocked UnknownIngressClass');
});

test('mode report is as good as manage once its owner has done it', () => {
  assert.equal(told(listed().bundle(bundle).ingress({ mode: 'report', annotations })), 'distributed ');
});

test('what tenants broke holds up nobody', () => {
  const world = listed()
    .bundle(bundle)
    .ingress({ annotations })
    .ingress({ name: 'broken', hosts: ['broken.example.test'], tls: [], service: 'broken' })
    .ingress({ name: 'rival', clientCertificates: 'optional' })
    .ingress({ namespace: 'strangers', name: 'stranger' });
  assert.equal(told(world), 'distributed Ingress payments/broken,Ingress payments/rival');
});

test('self-signed clients: any bundle will do, but the mode has to be right', async () => {
  const server = { terminators, issuers: ['own'] };
  const world = (): World => settledWorld().selfSignedIssuer('own').server(server);
  const request = { ...annotations, 'nginx.ingress.kubernetes.io/auth-tls-verify-client': 'optional_no_ca' };
  const empty = await emptyTrust(Date.now());
  assert.ok(isEmptyTrust(empty));
  assert.ok(!isEmptyTrust(bundle));
  assert.equal(selfSigned(world().ingress({ annotations })), 'blocked SelfSignedOnSharedHost');
  const asked = world().ingress({ clientCertificates: 'request', annotations: request });
  assert.equal(selfSigned(asked), 'waiting TerminatorsPending');
  assert.equal(selfSigned(asked.bundle(empty)), 'distributed ');
});

test('which scopes to look at after a change', () => {
  const second = 'b.example.test';
  const world = settledWorld()
    .ingress({ name: 'second', hosts: [second], service: 'api' })
    .ingress({ name: 'shared', server: '-', service: 'web' })
    .ingress({ name: 'unrelated', server: '-', hosts: ['c.example.test'], service: 'web' });
  const of = (name: string): string[] => {
    const ingress = world.ingresses.get('payments', name);
    return world.views.affected.byFrontend(ingress ?? assert.fail()).toSorted();
  };
  assert.deepEqual(of('api'), [key(HOST), key(second)]);
  assert.deepEqual(of('shared'), [key(HOST)]);
  assert.deepEqual(of('unrelated'), []);
  assert.deepEqual(world.views.affected.byServer('corporate').toSorted(), [key(HOST), key(second)]);
  assert.deepEqual(world.views.affected.byServer('other'), []);
  const beside = world.ingress({ name: 'beside', server: '-', hosts: ['www.example.test'] });
  const stranger = world.ingresses.get('payments', 'beside') ?? assert.fail();
  const keys = beside.views.affected.byFrontend(stranger);
  assert.deepEqual(keys.toSorted(), [key(HOST), key(second)], 'it reaches the same Service');
  assert.deepEqual(world.views.affected.serversOf(stranger), ['corporate'], 'whose clients hang on it');
  assert.deepEqual(world.views.affected.byIssuer('corporate-clients').toSorted(), [key(HOST), key(second)]);
  assert.deepEqual(world.views.affected.byClass('nginx').toSorted(), [key(HOST), key(second)]);
  assert.deepEqual(world.views.affected.byNamespace('payments').toSorted(), [key(HOST), key(second)]);
  world.bundle(bundle);
  const held = world.bundles.get('Secret', 'payments', bundleName(SCOPE)) ?? assert.fail();
  assert.deepEqual(world.views.affected.byBundle(held), [key(HOST)]);
  assert.deepEqual(of('unrelated'), [key(HOST)], 'it may have been the last one to name a bundle');
});

test('distributed since the last write to a terminator in front of the server; of others, since the platform changed their CAs', () => {
  const world = listed().bundle(bundle).ingress({ annotations });
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: [] }, 'written before this process began');
  world.memory.succeed(frontendTarget('payments/api'), world.now - 2_000);
  world.memory.succeed(objectTarget('Secret', 'payments', bundleName(SCOPE)), world.now - 1_000);
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: [], since: world.now - 1_000 });
  assert.deepEqual(distributed(world.server({ terminators: [] })), { state: 'distributed', lagging: [] });
  world.memory.trustChanged(objectTarget('Secret', 'payments', bundleName(SCOPE)), world.now - 500);
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: [], since: world.now - 500 });
  assert.equal(told(world.bundle(caBundle([otherCa]).pem)), 'distributed Ingress payments/api');
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: ['Ingress payments/api'] }, 'never waited for');
});

const doubt = {
  reason: 'CertificateRefused',
  case: 'canary',
  answered: 'status 400',
  address: 'a:443',
  clean: 0,
} as const;
const { controller } = SCOPE;

test('what a live connection showed holds up certificates, of listed terminators alone', () => {
  const world = listed().bundle(bundle).ingress({ annotations });
  const { proofs } = world.memory;
  proofs.set(controller, HOST, { ...UNPROVED, doubts: [{ ...doubt, seen: 1 }] });
  assert.equal(told(world), 'distributed ', 'seen once');
  proofs.set(controller, HOST, { ...UNPROVED, doubts: [{ ...doubt, seen: 2 }] });
  assert.equal(told(world), 'blocked CertificateRefused');
  assert.equal(told(world.server({ terminators: [] })), 'distributed ');
  world.server({ terminators });
  proofs.set(controller, HOST, {
    ...UNPROVED,
    doubts: [{ ...doubt, reason: 'CertificateRequired', case: 'none', seen: 2 }],
  });
  assert.equal(told(world), 'distributed ', 'nobody gets in who must not, and no client is refused');
  proofs.forget(controller, HOST);
  assert.equal(told(world), 'distributed ');
});

test('a terminator that is configured by hand counts once a live connection has shown it, and no longer than that', () => {
  const byHand = { controller: 'istio.io/ingress-controller', host: HOST };
  const world = listed().ingressClass('by-hand', byHand.controller).ingress({ className: 'by-hand' });
  world.manualControllers.add(byHand.controller);
  world.bundle(bundle, undefined, undefined, byHand);
  const { proofs } = world.memory;
  assert.equal(told(world), 'blocked TerminatorNotProved');
  assert.deepEqual(world.views.proofSubject(byHand, world.now)?.hosts, [HOST], 'it is asked all the same');
  proofs.set(byHand.controller, HOST, { ...UNPROVED, passes: 2, passedAt: world.now });
  assert.equal(told(world), 'distributed ');
  proofs.set(byHand.controller, HOST, { ...UNPROVED, doubts: [{ ...doubt, seen: 2 }] });
  assert.equal(told(world), 'blocked CertificateRefused');
  proofs.forget(byHand.controller, HOST);
  assert.equal(told(world), 'blocked TerminatorNotProved');
});

test('a first answer is waited for where terminators are asked, and no longer than it takes', () => {
  const world = listed().bundle(bundle).ingress({ annotations });
  const { proofs } = world.memory;
  const proving = (): unknown => Reflect.get(distributed(world), 'proving');
  assert.equal(proving(), undefined);
  proofs.expect(new Set([controller]));
  proofs.set(controller, HOST, UNPROVED);
  assert.deepEqual(proving(), ['Ingress payments/api']);
  proofs.set(controller, HOST, { ...UNPROVED, passes: 2, passedAt: world.now });
  assert.equal(proving(), undefined);
  proofs.set(controller, HOST, unasked(UNPROVED, 'no answer in time'));
  assert.equal(proving(), undefined, 'who does not answer holds up nobody');
});

test('what was written beside another scope’s host is no change of this one; a restart does not forget its own', () => {
  const traefikScope = { controller: 'traefik.io/ingress-controller', host: HOST };
  const at = (time: string, scope: Scope, name: string): World => {
    const world = listed().ingressClass('traefik', traefikScope.controller);
    const rendered = traefik.render({
      bundle: { namespace: 'payments', name: bundleName(traefikScope) },
      frontend: { namespace: 'payments', name: 'api', settings: {} },
      mode: 'required',
      depth: 1,
    });
    world
      .bundle(bundle, undefined, 'payments', traefikScope)
      .ingress({ className: 'traefik', annotations: rendered.settings });
    for (const companion of rendered.companions) world.companion(companion, traefikScope);
    const managedFields = [{ manager: 'certbound', operation: 'Update', time }];
    const [first] = rendered.companions;
    assert.ok(first !== undefined);
    const object = companionObject({ ...first, name }, { namespace: 'payments', scope, server: 'corporate' });
    world.companionCaches.get(first.resource.kind)?.set({ ...object, metadata: { ...object.metadata, managedFields } });
    return world;
  };
  const time = '2025-12-31T23:59:50Z';
  assert.equal(Reflect.get(distributed(at(time, traefikScope, bundleName(traefikScope))), 'since'), Date.parse(time));
  const elsewhere = { ...traefikScope, host: 'other.example.test' };
  assert.equal(Reflect.get(distributed(at(time, elsewhere, bundleName(elsewhere))), 'since'), undefined);
});

test('a restart does not forget when they were written', () => {
  const writtenAt = '2025-12-31T23:59:50Z';
  const by = (manager: string) => [{ manager, operation: 'Update', time: writtenAt }];
  const world = listed()
    .bundle(bundle, (secret) => ({ ...secret, metadata: { ...secret.metadata, managedFields: by('certbound') } }))
    .ingress({ annotations });
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: [], since: Date.parse(writtenAt) });

  world.bundle(bundle, (secret) => ({ ...secret, metadata: { ...secret.metadata, managedFields: by('somebody') } }));
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: [] });
  world.ingress({ annotations, managers: { 'certbound-terminator': Object.keys(annotations) } });
  assert.deepEqual(distributed(world), { state: 'distributed', lagging: [], since: world.now });
});

test('what a controller has not taken up is waited for, and the message says where to look', () => {
  const server = listed().servers.get(undefined, 'corporate') ?? assert.fail();
  const view = { problem: undefined, inEffect: false, caHashes: [], changedAt: undefined, trustChangedAt: undefined };
  const of = (unobserved: boolean) => {
    const terminator = { ...view, ref: 'HTTPProxy identity/mtls', listed: true, ...(unobserved && { unobserved }) };
    const result = distribution({ server, caSha256: sha256(corporateCa), terminators: [terminator] });
    return 'message' in result ? result.message : '';
  };
  assert.match(
    of(true),
    /controller of HTTPProxy identity\/mtls has not taken up the last change: .* serves the class/,
  );
  assert.doesNotMatch(of(false), /controller/);
});
