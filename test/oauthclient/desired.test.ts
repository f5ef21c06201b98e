import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { desired } from '../../src/oauthclient/desired.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import {
  aCertificate,
  aClient,
  aServer,
  day,
  grants,
  hour,
  instant,
  now,
  recorded,
  selfSigned,
  settled,
  untouched,
} from './view.ts';

const of = (spec: Partial<OAuthClientSpec>, change: Partial<Observed> = {}) =>
  desired({ ...untouched(), client: aClient(spec), ...change }, now);
const servedBy = (change: Partial<typeof grants>): Partial<Observed> => ({
  server: aServer({ clients: { ...grants, ...change } }),
});
const identityOf = (observed: Observed) => {
  const { identity } = desired(observed, now);
  return identity.ok ? identity.value : identity.message;
};

const templates = (...dns: string[]) => servedBy({ identityTemplates: dns.map((dn) => ({ dn })) });
const kids = (observed: Observed, at: number) =>
  JSON.stringify(desired(observed, at).metadata?.['jwks']).match(/(?<="kid":")\w+/g);
const annotated = (value: string, observed: Observed) => ({
  ...observed,
  client: aClient({}, { annotations: { 'certbound.dev/renew-requested': value } }, observed.client.status),
});

describe('effective values', () => {
  test('an empty spec', () => {
    const { metadata, identity, ...rest } = of({});
    assert.deepEqual(rest, {
      method: 'tls_client_auth',
      secretName: 'batch-oauth',
      keystores: false,
      issuerName: 'corporate-clients',
      certificate: { durationMs: 30 * day, renewBeforeMs: 10 * day, algorithm: 'ECDSA', size: 256, drainMs: undefined },
      grantTypes: ['client_credentials'],
      responseTypes: [],
      redirectURIs: [],
      scope: 'accounts:read',
      boundTokens: true,
      context: undefined,
      deletionPolicy: 'Delete',
      adoption: 'IfMarked',
      propagationMs: 60_000,
      longestTokenLifetimeMs: 0,
      renewalSeed: 'test-1/payments/batch',
      renewRequested: undefined,
      compromised: [],
      keySetUri: undefined,
    });
    assert.equal(identity.ok && identity.value, 'CN=payments.batch,OU=test-1');
    assert.deepEqual(metadata, {
      client_name: 'test-1/payments/batch',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=payments.batch,OU=test-1',
      tls_client_certificate_bound_access_tokens: true,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      scope: 'accounts:read',
    });
  });

  test('a full one', () => {
    const full = of(
      {
        grantTypes: ['authorization_code'],
        redirectURIs: ['https://app.example.com/cb'],
        scope: 'accounts:read',
        secret: { name: 'tls' },
        deletionPolicy: 'Orphan',
        certificate: {
          issuerRef: { name: 'other-clients' },
          duration: '48h',
          renewBefore: '6h',
          privateKey: { algorithm: 'RSA' },
          drain: '1h',
        },
      },
      { server: aServer({ propagation: '5s' }) },
    );
    assert.deepEqual(full.certificate, {
      durationMs: 48 * hour,
      renewBeforeMs: 6 * hour,
      algorithm: 'RSA',
      size: 2048,
      drainMs: hour,
    });
    assert.deepEqual(full.responseTypes, ['code'], 'what the grant type needs');
    assert.equal(full.issuerName, 'other-clients');
    assert.equal(full.secretName, 'tls');
    assert.equal(full.deletionPolicy, 'Orphan');
    assert.equal(full.propagationMs, 5_000);
  });

  test('without a server there is nothing to register or to publish, and no error', () => {
    const { issuerName, context, propagationMs } = of({}, { server: undefined });
    assert.deepEqual([issuerName, context, propagationMs], [undefined, undefined, 60_000]);
  });
});

describe('the identity', () => {
  test('is the platform’s first template', () => {
    assert.equal(identityOf({ ...untouched(), ...templates('CN={name}', 'CN={namespace}') }), 'CN=batch');
  });

  test('stays as it was registered when the platform puts another first', () => {
    const moved = templates('CN={name},O=new', 'CN={namespace}.{name},OU={clusterId}');
    assert.equal(identityOf({ ...settled(), ...moved }), 'CN=payments.batch,OU=test-1');
    assert.deepEqual(
      desired({ ...settled(), ...moved }, now).metadata?.['tls_client_auth_subject_dn'],
      'CN=payments.batch,OU=test-1',
    );
  });

  test('stays letter for letter: certificates that are in use are spelt so, and servers compare text', () => {
    const respelt = templates('cn={namespace}.{name},OU={clusterId}');
    assert.equal(identityOf({ ...settled(), ...respelt }), 'CN=payments.batch,OU=test-1');
    const louder = templates('CN=PAYMENTS.{name},OU={clusterId}');
    assert.equal(identityOf({ ...untouched(), ...louder }), 'CN=PAYMENTS.batch,OU=test-1');
    for (const requested of [undefined, 'CN=Payments.Batch,OU=Test-1', 'CN=payments.batch,OU=test-1']) {
      const client = aClient(requested === undefined ? {} : { certificate: { subject: { dn: requested } } });
      const view = desired({ ...settled(), ...louder, client }, now);
      assert.equal(view.metadata?.['tls_client_auth_subject_dn'], 'CN=payments.batch,OU=test-1');
      assert.ok(view.identity.ok && 'dn' in view.identity.subject);
      assert.deepEqual(view.identity.subject.dn[0], [{ type: 'CN', value: 'payments.batch' }]);
    }
  });

  test('that is granted no longer is nobody’s; another is not taken in its place', () => {
    const { identity, metadata } = desired({ ...settled(), ...templates('CN={name},O=new') }, now);
    assert.equal(identity.ok, false);
    assert.equal(metadata, undefined);
  });
});

describe('registered keys', () => {
  const rotating = recorded(settled('self_signed_tls_client_auth'), {
    certificates: [
      selfSigned('before', { role: 'Draining', replacedAt: instant(now - day), notAfter: instant(now + hour) }),
      selfSigned('old'),
      selfSigned('next', { role: 'Next', notAfter: instant(now + 30 * day) }),
    ],
  });

  test('are those of every certificate that may be in use', () => {
    assert.deepEqual(kids(rotating, now), ['before', 'old', 'next']);
  });

  test('to the end of its drain for a replaced one', () => {
    assert.deepEqual(kids(rotating, now + hour - 1), ['before', 'old', 'next']);
    assert.deepEqual(kids(rotating, now + hour), ['old', 'next']);
  });

  test('no longer once the drain is shortened', () => {
    const shorter = { ...rotating, client: aClient({ ...rotating.client.spec, certificate: { drain: '1h' } }) };
    assert.deepEqual(kids(shorter, now), ['old', 'next']);
  });

  test('the published one is never dropped, not even when it has ended', () => {
    assert.deepEqual(kids(rotating, now + 20 * day), ['old', 'next']);
  });

  test('are none for tls_client_auth', () => {
    assert.equal(desired(settled(), now).metadata?.['jwks'], undefined);
  });
});

describe('a renewal is requested', () => {
  test('by any value that was not handled', () => {
    const observed = recorded(settled(), { lastHandledRenew: 'one' });
    assert.equal(desired(annotated('two', observed), now).renewRequested, 'two');
    assert.equal(desired(annotated('one', observed), now).renewRequested, undefined);
    assert.equal(desired(observed, now).renewRequested, undefined);
  });

  test('not by one that status remembers and an older copy of the record does not', () => {
    const { client, ...others } = annotated('two', recorded(settled(), { lastHandledRenew: 'one' }));
    const told = { ...others, client: { ...client, status: { lastHandledRenew: 'two' } } };
    assert.equal(desired(told, now).renewRequested, undefined);
  });

  test('once, however long the value is', () => {
    const long = 'x'.repeat(5000);
    const observed = recorded(settled(), { lastHandledRenew: long });
    assert.equal(desired(annotated(long, observed), now).renewRequested, undefined);
  });
});

const lifetime = (seconds: number | undefined, accessTokenLifetime?: string) =>
  desired(
    {
      ...recorded(settled(), seconds === undefined ? {} : { longestTokenLifetimeSeconds: seconds }),
      server: aServer(accessTokenLifetime === undefined ? {} : { accessTokenLifetime }),
    },
    now,
  ).longestTokenLifetimeMs;

test('tokens live as long as was seen, or as the platform says', () => {
  assert.deepEqual(
    [lifetime(undefined), lifetime(60), lifetime(60, '1h'), lifetime(7200, '1h')],
    [0, 60_000, hour, 2 * hour],
  );
});

test('what is published follows the registration and the server', () => {
  assert.deepEqual(desired(settled(), now).context, {
    clientId: 'client-1',
    issuer: 'https://as.example.com',
    tokenEndpoint: 'https://as.example.com/mtls/token',
    serverCaPem: 'the CA of the server',
  });
  const other = aServer({ issuer: 'https://other.example.com' });
  assert.equal(desired({ ...settled(), server: other }, now).context, undefined, 'another server knows no such client');
});

test('desired is pure: the same world and time, the same answer', () => {
  const observed = recorded(settled(), { certificates: [aCertificate('old')] });
  assert.deepEqual(desired(observed, now), desired(structuredClone(observed), now));
});
