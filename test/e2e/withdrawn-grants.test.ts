/** The platform takes back what it granted: until when a client works, and that nobody gets a token who is granted nothing. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { oauthClients } from '../../src/api/resources.ts';
import { namespaces } from '../../src/kube/resource.ts';
import { readRecord } from '../../src/oauthclient/record.ts';
import { type ClientCredentials, credentialsOf, requestToken } from '../support/application.ts';
import { apply, namespace } from '../support/cluster-objects.ts';
import { boundTo } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Subject, TEAM, World } from './bad-input/world.ts';

const BOTH = ['accounts:read', 'accounts:write'];
const READ = { scopes: ['accounts:read'] };

describe('a grant that is withdrawn', { concurrency: 3 }, () => {
  let world: World;
  before(async () => {
    world = await World.start([]);
  });
  after(() => world?.stop());

  const published = async (subject: Subject): Promise<ClientCredentials> => {
    const secret = await world.secret(subject);
    assert.ok(secret !== undefined, 'nothing is published');
    return credentialsOf(secret);
  };
  /** Ready, and an application has what it needs. */
  const settled = async (subject: Subject, spec: Record<string, unknown> = {}): Promise<ClientCredentials> => {
    await world.client(subject, spec);
    await world.ready(subject);
    return published(subject);
  };
  const works = async (credentials: ClientCredentials) =>
    assert.equal(await boundTo(credentials), credentials.x5tS256, 'gets no token');
  const refused = async (credentials: ClientCredentials) => {
    const answer = await requestToken(credentials);
    assert.deepEqual([answer.status, answer.json['error']], [401, 'invalid_client']);
  };
  const deregistered = async (subject: Subject): Promise<void> => {
    await waitFor(async () => {
      const registered = await world.condition(subject, 'Registered');
      return registered?.reason === 'NotGranted' && registered.message.includes('was deregistered');
    }, 120_000);
    assert.deepEqual(world.registrations(subject), [], 'still registered');
    assert.equal(await world.secret(subject), undefined, 'still published');
    const record = readRecord((await world.record(subject)) ?? assert.fail('the record is gone'));
    assert.deepEqual([record?.state.certificates, record?.material.certificates], [[], {}], 'keys are kept');
    assert.equal(record?.material.registration, undefined, 'a registration access token is kept');
    const claims = await world.claims(subject);
    assert.deepEqual(
      claims.map(({ data }) => typeof Object(data).expires),
      ['string'],
      'the identity is not released',
    );
    assert.equal((await world.status(subject))?.clientId, undefined);
  };

  test('the namespace, and granted again within the grace: nothing has happened', async () => {
    const subject = { namespace: 'team-label', name: 'label-back' };
    const labels = { team: 'granted' };
    await apply(world.kube, namespace(subject.namespace, labels));
    await world.issuer('of-teams', { ca: { managed: {} } }, { namespaces: { selector: { matchLabels: labels } } });
    await world.server(subject.name, {
      defaultIssuerRef: { name: 'of-teams' },
      // Nothing is in front of this one that would trust another CA.
      clients: { namespaces: { selector: { matchLabels: labels } }, issuers: ['of-teams', 'corporate-clients'] },
    });
    await world.client(subject, { certificate: { issuerRef: { name: 'corporate-clients' } } });
    await world.becomes(subject, 'False', 'IssuerNotGranted');
    await label(subject.namespace, { 'oauth.example.com/clients': 'allowed' });
    await world.ready(subject);
    const credentials = await published(subject);
    const resourceVersion = (await world.secret(subject))?.metadata.resourceVersion;

    await label(subject.namespace, { team: null });
    const { message } = await world.becomes(subject, 'False', 'NotGranted');
    assert.match(
      message,
      /There is no such AuthorizationServer, or it is not granted to this namespace.*goes on working until \d{4}-\S+Z at the latest/,
    );
    assert.equal((await world.condition(subject, 'Stalled'))?.status, 'True');
    await works(credentials);

    await label(subject.namespace, labels);
    await world.recovers(subject);
    assert.equal((await published(subject)).clientId, credentials.clientId);
    assert.equal((await world.secret(subject))?.metadata.resourceVersion, resourceVersion, 'the Secret was written');
    await works(credentials);
  });

  test('a scope that was asked for: deregistered after the grace, and registered anew when it is granted', async () => {
    const subject = { name: 'scope-gone' };
    await world.server(subject.name, { clients: { scopes: BOTH, withdrawalGracePeriod: '8s' } });
    const credentials = await settled(subject, { scope: BOTH.join(' ') });
    await world.server(subject.name, { clients: { ...READ, withdrawalGracePeriod: '8s' } });
    const { message } = await world.becomes(subject, 'False', 'NotGranted');
    assert.match(
      message,
      /The scope accounts:write is not granted here: leave it out or ask the platform team to grant it\./,
    );
    await works(credentials);
    await deregistered(subject);
    await refused(credentials);

    await world.server(subject.name, { clients: { scopes: BOTH } });
    await world.recovers(subject);
    const anew = await published(subject);
    assert.notEqual(anew.clientId, credentials.clientId);
    await works(anew);
    await refused(credentials);
    assert.deepEqual(
      (await world.claims(subject)).map(({ data }) => Object(data).expires),
      [undefined],
    );
  });

  test('a scope that was asked for, and is no longer asked for: it is taken out of the registration', async () => {
    const subject = { name: 'scope-dropped' };
    await world.server(subject.name, { clients: { scopes: BOTH } });
    const credentials = await settled(subject, { scope: BOTH.join(' ') });
    await world.server(subject.name, { clients: READ });
    await world.becomes(subject, 'False', 'NotGranted');
    await world.client(subject, { scope: 'accounts:read' });
    await world.recovers(subject);
    assert.equal(world.registrations(subject)[0]?.['scope'], 'accounts:read');
    assert.equal((await published(subject)).clientId, credentials.clientId);
  });

  test('a default scope: the registration is updated, and nobody has to do anything', async () => {
    const subject = { name: 'default-scope' };
    await world.server(subject.name, { clients: { scopes: BOTH } });
    const credentials = await settled(subject);
    assert.equal(world.registrations(subject)[0]?.['scope'], BOTH.join(' '));
    await world.server(subject.name, { clients: READ });
    await waitFor(async () => world.registrations(subject)[0]?.['scope'] === 'accounts:read', 60_000);
    await world.ready(subject);
    await works(credentials);
    const denied = await requestToken(credentials, { parameters: { scope: 'accounts:write' } });
    assert.equal(denied.json['error'], 'invalid_scope');
  });

  const narrowings: [string, Record<string, unknown>, RegExp][] = [
    ['method', { methods: ['self_signed_tls_client_auth'] }, /The method tls_client_auth is not granted here/],
    ['grant-type', { grantTypes: ['refresh_token'] }, /The grant type client_credentials is not granted here/],
    ['issuer', { issuers: [] }, /The issuer corporate-clients is not granted here.*cease to trust its CA now/],
    ['template', { identityTemplates: [{ dn: 'CN={name},O=others' }] }, /This identity is not granted to this client/],
    ['everything', { namespaces: { names: ['another'] } }, /not granted to this namespace/],
  ];
  for (const [name, change, says] of narrowings) {
    test(`${name}: the client ends`, async () => {
      const subject = { name: `no-${name}` };
      await world.server(subject.name);
      const credentials = await settled(subject);
      await world.server(subject.name, { clients: { ...change, withdrawalGracePeriod: '5s' } });
      await world.becomes(subject, 'False', 'NotGranted', says);
      await deregistered(subject);
      await refused(credentials);
    });
  }

  test('with the server away when the grace ends: not ready, nothing published, deregistered once it is back', async () => {
    const subject = { name: 'server-away' };
    const front = await world.front();
    await world.server(subject.name, world.at(front));
    const credentials = await settled(subject);
    await front.stop();
    await world.server(subject.name, {
      ...world.at(front),
      clients: { namespaces: { names: ['another'] }, withdrawalGracePeriod: '1s' },
    });
    await world.becomes(subject, 'False', 'NotGranted', /it is being deregistered/);
    await waitFor(async () => (await world.secret(subject)) === undefined, 60_000);
    assert.equal(world.registrations(subject).length, 1);
    await front.start();
    await deregistered(subject);
    await refused(credentials);
  });

  test('a tenant can’t keep what is withdrawn: by leaving the registration behind', async () => {
    const subject = { name: 'held-up' };
    const clients = { deletion: ['Delete', 'Orphan'], withdrawalGracePeriod: '1s' };
    await world.server(subject.name, { clients });
    const credentials = await settled(subject, { deletionPolicy: 'Orphan' });
    await world.server(subject.name, {
      clients: { ...clients, namespaces: { names: ['another'] }, withdrawalGracePeriod: '24h' },
    });
    await world.becomes(subject, 'False', 'NotGranted');
    await world.kube.delete(oauthClients, { namespace: TEAM, name: subject.name });
    await waitFor(async () => (await world.status(subject)) === undefined, 60_000);
    assert.deepEqual(world.registrations(subject), []);
    await refused(credentials);
  });

  async function label(name: string, labels: Record<string, string | null>): Promise<void> {
    await world.kube.patch(namespaces, { name }, { metadata: { labels } }, { type: 'merge' });
  }
});
