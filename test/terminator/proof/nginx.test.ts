/** The live proof at nginx, configured as ingress-nginx would be, rightly and wrongly. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { Ca } from '../../../src/x509/certificate.ts';
import { type IngressController, startIngressController } from '../../support/ingress-controller.ts';
import { objectList } from '../../support/ingress-objects.ts';
import { listen, type Listening } from '../../support/listen.ts';
import { ingressObject, secretObject, serviceObject } from '../../support/oauth-deployment.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { liveCa, Prover, type Proving } from './prover.ts';

const host = 'mtls.example.test';
const LAX = 'ClientAuthenticationNotEnforced';
let ca: Ca;
let otherCa: Ca;
let backend: Listening;
let nginx: IngressController;
let stale: IngressController;
/** What the backend answers. */
let status = 404;
let served: unknown[];
const objects = objectList();
const staleObjects = objectList();

type AuthTls = Record<string, string> | undefined;

/** Two hosts in front of one Service; the browser's asks for nothing. */
function configuration(authTls: AuthTls): unknown[] {
  const service = { service: 'api', port: backend.port };
  return [
    ...served,
    ingressObject({ name: 'mtls', host, ...service, ...(authTls && { authTls }) }),
    ingressObject({ name: 'browser', host: 'browser.example.test', ...service }),
  ];
}

const verify = (mode: string, secret = 'ca'): AuthTls => ({ secret: `default/${secret}`, 'verify-client': mode });

async function configure(authTls: AuthTls | undefined): Promise<void> {
  objects.set(configuration(authTls));
  await nginx.settled();
}

const at = (controller: IngressController) => ({ host: controller.address, port: controller.httpsPort });
const prover = (proving: Partial<Proving> = {}): Prover =>
  new Prover({ host, ca, laxHost: 'browser.example.test', addresses: [at(nginx)], ...proving });

before(async () => {
  ca = await liveCa('CN=Client CA,O=Platform');
  otherCa = await liveCa('CN=Client CA,O=Platform');
  backend = await listen(createServer((_request, response) => response.writeHead(status).end()));
  const pair = await (
    await createThrowawayCa('Server CA')
  ).issue({ cn: 'server', dns: [host, 'browser.example.test'] });
  served = [
    secretObject('server-tls', { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem }),
    secretObject('ca', { 'ca.crt': ca.certificatePem }),
    secretObject('other-ca', { 'ca.crt': otherCa.certificatePem }),
    serviceObject('api', backend.port),
  ];
  objects.set(configuration(verify('on')));
  staleObjects.set(configuration(undefined));
  nginx = await startIngressController({ source: objects, installNginx: true });
  const { httpsPort, httpPort } = nginx;
  stale = await startIngressController({ source: staleObjects, address: '127.0.0.2', httpsPort, httpPort });
});
after(async () => {
  await nginx?.stop();
  await stale?.stop();
  await backend?.stop();
});

describe('as it is configured', () => {
  for (const [mode, value] of [
    ['required', 'on'],
    ['optional', 'optional'],
  ] as const) {
    it(`${mode}: proved by the second round`, async () => {
      await configure(verify(value));
      const proving = prover({ mode });
      assert.equal(await proving.rounds(1), 'unproved');
      assert.equal(await proving.rounds(1), 'proved');
      assert.deepEqual(proving.proof().doubts, []);
      assert.deepEqual(proving.changes, ['proved']);
    });
  }

  it('what a Gateway serves is asked by its host name', async () => {
    await configure(verify('on'));
    assert.equal(await prover({ host: `payments/edge/${host}` }).rounds(2), 'proved');
    await configure(undefined);
    assert.equal(await prover({ host: `payments/edge/${host}` }).rounds(2), 'ClientAuthenticationNotEnforced');
  });

  it('request: who signs for itself gets in', async () => {
    await configure(verify('optional_no_ca'));
    assert.equal(await prover({ mode: 'request', ca: undefined }).rounds(2), 'proved');
  });

  it('a host where nobody is trusted, and one whose CA signs elsewhere: known by what nginx says', async () => {
    await configure(verify('on', 'other-ca'));
    assert.equal(await prover({ ca: undefined }).rounds(2), 'proved');
  });

  for (const answer of [200, 302, 401, 403, 503]) {
    it(`a backend that answers ${answer} to everybody changes nothing`, async () => {
      await configure(verify('on'));
      status = answer;
      assert.equal(await prover().rounds(2), 'proved');
      status = 404;
    });
  }
});

describe('otherwise than it is configured', () => {
  const wrong: [string, AuthTls, Partial<Proving>, string, string[]][] = [
    ['no client authentication', undefined, {}, LAX, ['foreign', 'none']],
    ['certificates that are not verified', verify('optional_no_ca'), {}, LAX, ['foreign', 'none']],
    ['not required', verify('optional'), {}, LAX, ['none']],
    ['optional, and not verified', verify('optional_no_ca'), { mode: 'optional' }, LAX, ['foreign']],
    ['required although it is optional', verify('on'), { mode: 'optional' }, 'CertificateRequired', ['none']],
    ['the bundle of another CA of the same name', verify('on', 'other-ca'), {}, 'CertificateRefused', ['canary']],
  ];
  for (const [title, authTls, proving, expected, cases] of wrong) {
    it(title, async () => {
      await configure(authTls);
      const looking = prover(proving);
      assert.equal(await looking.rounds(1), 'unproved', 'one round disproves nothing');
      assert.equal(await looking.rounds(1), expected);
      assert.deepEqual(
        looking.cases().filter((each) => each !== 'forged' && each !== 'resumed'),
        cases,
      );
      assert.match(
        looking.message(),
        /^At mtls\.example\.test \(127\.0\.0\.1:\d+\) a caller .* See that this terminator/,
      );
    });
  }

  it('lax before an API that asks everybody for a token', async () => {
    status = 401;
    await configure(undefined);
    assert.equal(await prover().rounds(2), LAX);
    status = 404;
  });

  it('nothing is said where it cannot be told from what comes back', async () => {
    status = 403;
    await configure(undefined);
    const looking = prover();
    assert.equal(await looking.rounds(4), 'unproved');
    assert.match(looking.proof().unclear ?? '', /was answered status 403/);
    status = 404;
  });

  it('one of two replicas is stale', async () => {
    await configure(verify('on'));
    const looking = prover({ addresses: [at(nginx), at(stale)] });
    assert.equal(await looking.rounds(2), LAX);
    assert.match(looking.message(), /\(127\.0\.0\.2:\d+\)/);
    staleObjects.set(configuration(verify('on')));
    await stale.settled();
    assert.equal(await looking.rounds(2), LAX);
    assert.equal(await looking.rounds(1), 'proved', 'three rounds were right');
    assert.deepEqual(looking.changes, ['disproved', 'proved']);
  });

  it('a single fault flips nothing', async () => {
    await configure(verify('on'));
    const looking = prover();
    assert.equal(await looking.rounds(2), 'proved');
    await configure(undefined);
    assert.equal(await looking.rounds(1), 'proved');
    await configure(verify('on'));
    assert.equal(await looking.rounds(3), 'proved');
    assert.deepEqual(looking.changes, ['proved']);
  });
});
