/** What is asked for but not granted: a condition that says what to do, nothing written, and recovery by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENTS_ALLOWED } from '../../support/installation.ts';
import type { Spec, World } from './world.ts';

interface Case {
  name: string;
  server?: Spec;
  client?: Spec;
  /** The condition that it belongs to. */
  type: 'Registered' | 'CertificateReady';
  reason: string;
  says: RegExp;
  /** What the platform or the team changes; then the client becomes ready. */
  cure: { server?: Spec; client?: Spec };
}

const ask = /is not granted here: leave it out or ask the platform team to grant it/;
const denied = (what: string) => new RegExp(`${what} ${ask.source}`);

const cases: Case[] = [
  {
    name: 'grant-type',
    client: { grantTypes: ['client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange'] },
    type: 'Registered',
    reason: 'NotGranted',
    says: denied('The grant type urn:ietf:params:oauth:grant-type:token-exchange'),
    cure: { client: { grantTypes: ['client_credentials'] } },
  },
  {
    name: 'scope',
    client: { scope: 'accounts:read accounts:write' },
    type: 'Registered',
    reason: 'NotGranted',
    says: denied('The scope accounts:write'),
    cure: { server: { clients: { scopes: ['accounts:read', 'accounts:write'] } } },
  },
  {
    name: 'redirect-uri',
    client: { redirectURIs: ['https://app.example.test/callback'] },
    type: 'Registered',
    reason: 'NotGranted',
    says: denied('The redirect URI https://app\\.example\\.test/callback'),
    cure: { server: { clients: { redirectURIs: ['https://app.example.test/*'] } } },
  },
  {
    name: 'redirect-uri-user',
    server: { clients: { redirectURIs: ['https://app.example.test/*'] } },
    client: { redirectURIs: ['https://app.example.test@evil.example/callback'] },
    type: 'Registered',
    reason: 'NotGranted',
    says: /has a user before its host/,
    cure: { client: { redirectURIs: [] } },
  },
  {
    name: 'response-type',
    client: { responseTypes: ['token'] },
    type: 'Registered',
    reason: 'NotGranted',
    says: denied('The response type token'),
    cure: { client: {} },
  },
  {
    name: 'unbound-tokens',
    client: { tlsClientCertificateBoundAccessTokens: false },
    type: 'Registered',
    reason: 'NotGranted',
    says: /Access tokens that are not bound to the certificate are not granted here: leave it out or ask/,
    cure: { server: { clients: { requireBoundTokens: false } } },
  },
  {
    name: 'deletion-policy',
    client: { deletionPolicy: 'Orphan' },
    type: 'Registered',
    reason: 'NotGranted',
    says: denied('The deletion policy Orphan'),
    cure: { server: { clients: { deletion: ['Delete', 'Orphan'] } } },
  },
  {
    name: 'everything-at-once',
    client: { scope: 'admin', grantTypes: ['password'], deletionPolicy: 'Orphan' },
    type: 'Registered',
    reason: 'NotGranted',
    says: /grant type password .* scope admin .* deletion policy Orphan/,
    cure: { client: {} },
  },
  {
    name: 'duration',
    client: { certificate: { duration: '2161h' } },
    type: 'CertificateReady',
    reason: 'DurationNotGranted',
    says: /at most 2160h, not 2161h.*Shorten spec\.certificate\.duration, or ask the platform team/,
    cure: { client: { certificate: { duration: '2160h' } } },
  },
  {
    name: 'no-issuer',
    server: { defaultIssuerRef: undefined },
    type: 'CertificateReady',
    reason: 'IssuerNotNamed',
    says: /set spec\.certificate\.issuerRef\.name/,
    cure: { client: { certificate: { issuerRef: { name: 'corporate-clients' } } } },
  },
  {
    name: 'identity',
    client: { certificate: { subject: { dn: 'CN=payments-batch,OU=admins' } } },
    type: 'CertificateReady',
    reason: 'IdentityNotGranted',
    says: /not granted to this client: leave subject out for the default, or ask the platform team/,
    cure: { server: { clients: { identityTemplates: [{ dn: 'CN=payments-batch,OU=admins' }] } } },
  },
];

export const grantIssuers = ['unknown-issuer', 'unlisted-issuer', 'denying-issuer', 'ecdsa-alone'];

export function grantTests(world: () => World): void {
  for (const { name, server, client, type, reason, says, cure } of cases) {
    test(`not granted: ${name}`, async () => {
      const subject = { name };
      await world().server(name, server);
      await world().client(subject, client);
      const ready = await world().becomes(subject, 'False', reason);
      assert.match(ready.message, says);
      assert.equal((await world().condition(subject, type))?.reason, reason);
      assert.equal((await world().condition(subject, 'Stalled'))?.status, 'True');
      await world().nothingWritten(subject);
      if (cure.server !== undefined) await world().server(name, { ...server, ...cure.server });
      if (cure.client !== undefined) await world().client(subject, cure.client);
      await world().recovers(subject);
      assert.equal(await world().condition(subject, 'Stalled'), undefined);
    });
  }

  test('a server that is not granted reads like one that does not exist', async () => {
    const [unknown, denying] = [{ name: 'unknown-server' }, { name: 'denying-server' }];
    await world().server(denying.name, { clients: { namespaces: { names: ['another'] } } });
    await world().serverBecomes(denying.name, 'True', 'Ready');
    await Promise.all([world().client(unknown), world().client(denying)]);
    const [one, other] = await Promise.all(
      [unknown, denying].map((subject) => world().becomes(subject, 'False', 'AuthorizationServerNotGranted')),
    );
    assert.match(
      one?.message ?? '',
      /Check the name, or ask the platform team to grant it in spec\.clients\.namespaces/,
    );
    await sameBut(unknown.name, denying.name);
    assert.equal(other?.message.replace(denying.name, unknown.name), one?.message);
    await Promise.all([unknown, denying].map((subject) => world().nothingWritten(subject)));
    await world().server(unknown.name);
    await world().server(denying.name, { clients: { namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } } } });
    await Promise.all([unknown, denying].map((subject) => world().recovers(subject)));
  });

  test('an issuer that is not granted, here or by the server, reads like one that does not exist', async () => {
    const names = ['unknown-issuer', 'unlisted-issuer', 'denying-issuer'];
    const clients = { issuers: ['corporate-clients', 'unknown-issuer', 'denying-issuer'] };
    await world().issuer('unlisted-issuer', { ca: { managed: {} } });
    await world().issuer('denying-issuer', { ca: { managed: {} } }, { namespaces: { names: ['another'] } });
    for (const name of names) {
      await world().server(name, { clients });
      await world().client({ name }, { certificate: { issuerRef: { name } } });
    }
    const messages = await Promise.all(
      names.map(async (name) =>
        (await world().becomes({ name }, 'False', 'IssuerNotGranted')).message.replaceAll(name, '?'),
      ),
    );
    assert.equal(new Set(messages).size, 1, messages.join('\n'));
    assert.match(messages[0] ?? '', /Check the name, or ask the platform team to grant it/);
    await Promise.all(names.slice(1).map((name) => sameBut('unknown-issuer', name)));
    await Promise.all(names.map((name) => world().nothingWritten({ name })));
    await world().issuer('unknown-issuer', { ca: { managed: {} } });
    await world().issuer('denying-issuer', { ca: { managed: {} } });
    await world().server('unlisted-issuer', { clients: { issuers: ['unlisted-issuer'] } });
    await Promise.all(names.map((name) => world().recovers({ name })));
  });

  /** Nothing else in the two statuses tells them apart. */
  async function sameBut(one: string, other: string): Promise<void> {
    const [a, b] = await Promise.all(
      [one, other].map(async (name) => {
        const status = JSON.stringify(await world().status({ name })).replaceAll(name, '?');
        return status.replaceAll(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"time"');
      }),
    );
    assert.equal(a, b);
  }

  test('a namespace is granted by its labels, and no sooner', async () => {
    const subject = { namespace: 'unlabelled', name: 'namespace-grant' };
    const { kube } = world();
    const namespaces = { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false };
    await kube.create(namespaces, { metadata: { name: subject.namespace } });
    await world().server(subject.name);
    await world().client(subject);
    const { message } = await world().becomes(subject, 'False', 'AuthorizationServerNotGranted');
    assert.match(message, /is not granted to namespace "unlabelled"/);
    await world().nothingWritten(subject);
    await kube.patch(
      namespaces,
      { name: subject.namespace },
      { metadata: { labels: CLIENTS_ALLOWED } },
      { type: 'merge' },
    );
    await world().recovers(subject);
  });

  test('a method that is not granted, then one that the issuer is not for', async () => {
    const subject = { name: 'method' };
    await world().server(subject.name);
    await world().client(subject, { tokenEndpointAuthMethod: 'self_signed_tls_client_auth' });
    const { message } = await world().becomes(subject, 'False', 'NotGranted');
    assert.match(message, denied('The method self_signed_tls_client_auth'));
    await world().nothingWritten(subject);
    await world().server(subject.name, { clients: { methods: ['tls_client_auth', 'self_signed_tls_client_auth'] } });
    const mismatch = await world().becomes(subject, 'False', 'IssuerMethodMismatch');
    assert.match(
      mismatch.message,
      /needs a ClientCertificateIssuer with selfSigned.*Name such an issuer in spec\.certificate\.issuerRef/,
    );
    await world().nothingWritten(subject);
  });

  test('a key algorithm that the issuer does not grant', async () => {
    const subject = { name: 'key-algorithm' };
    const policy = { namespaces: { selector: {} }, privateKeyAlgorithms: ['ECDSA'] };
    await world().issuer('ecdsa-alone', { ca: { managed: {} } }, policy);
    await world().server(subject.name, {
      clients: { issuers: ['ecdsa-alone'] },
      defaultIssuerRef: { name: 'ecdsa-alone' },
    });
    await world().client(subject, { certificate: { privateKey: { algorithm: 'RSA' } } });
    const { message } = await world().becomes(subject, 'False', 'KeyAlgorithmNotGranted');
    assert.match(
      message,
      /grants no RSA keys, but ECDSA\. Change spec\.certificate\.privateKey\.algorithm, or ask the platform team/,
    );
    await world().nothingWritten(subject);
    await world().client(subject, {});
    await world().recovers(subject);
  });
}
