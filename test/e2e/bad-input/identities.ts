/** Distinguished names with everything that RFC 4514 escapes; identities that are taken, or that no certificate can carry. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { oauthClients } from '../../../src/api/resources.ts';
import { configMaps } from '../../../src/kube/resource.ts';
import { credentialsOf, requestToken } from '../../support/application.ts';
import { waitFor } from '../../support/wait-for.ts';
import { openssl } from '../../x509/openssl.ts';
import { GENEROUS_MS, SYSTEM, TEAM, type Subject, type World } from './world.ts';

interface ValidName {
  case: string;
  template: string;
  /** As the client asks for it, where it does not leave it to the platform; `*` stands for its name. */
  requested?: string;
  /** What openssl reads in the certificate (RFC 2253); `*` stands for the client's name. */
  read: string;
}

const valid: ValidName[] = [
  { case: 'comma', template: 'CN={name},O=Acme\\, Inc.', read: 'CN=*,O=Acme\\, Inc.' },
  { case: 'plus', template: 'CN={name},O=a\\+b', read: 'CN=*,O=a\\+b' },
  { case: 'quotes', template: 'CN={name},O=\\"a\\" b', read: 'CN=*,O=\\"a\\" b' },
  { case: 'backslash', template: 'CN={name},O=a\\\\b', read: 'CN=*,O=a\\\\b' },
  { case: 'angles', template: 'CN={name},O=\\<a\\>', read: 'CN=*,O=\\<a\\>' },
  { case: 'semicolon', template: 'CN={name},O=a\\;b', read: 'CN=*,O=a\\;b' },
  { case: 'equals', template: 'CN={name},O=a=b', read: 'CN=*,O=a=b' },
  { case: 'hash', template: 'CN={name},O=\\#0500', read: 'CN=*,O=\\#0500' },
  { case: 'spaces', template: 'CN={name},O=\\ a  b\\ ', read: 'CN=*,O=\\ a  b\\ ' },
  { case: 'unicode', template: 'CN={name},O=Zürich 東京 🔑', read: 'CN=*,O=Zürich 東京 🔑' },
  { case: 'hex', template: 'CN={name},O=Z\\C3\\BCrich', requested: 'CN=*,O=Zürich', read: 'CN=*,O=Zürich' },
  {
    case: 'several',
    template: 'UID={namespace}+CN={name},O=a',
    requested: 'CN=*+UID=payments,O=a',
    read: 'CN=*+UID=payments,O=a',
  },
  { case: 'injection', template: 'CN={name}\\,OU\\=admins,O=a', read: 'CN=*\\,OU=admins,O=a' },
  {
    case: 'all',
    template: 'CN={name},O=\\ \\,\\+\\"\\\\\\<\\>\\;\\=\\#\\ ',
    read: 'CN=*,O=\\ \\,\\+\\"\\\\\\<\\>\\;=#\\ ',
  },
];

const invalidTemplates: [string, string, RegExp][] = [
  ['unknown-placeholder', 'CN={nam}', /\{nam\} is no placeholder: write \{namespace\}, \{name\} or \{clusterId\}/],
  ['separator', 'CN={name};O=a', /not valid at character \d+/],
  ['quoted', 'CN="{name}",O=a', /not valid at character \d+/],
  ['trailing-comma', 'CN={name},', /not valid/],
  ['open-escape', 'CN={name}\\', /not valid/],
  ['leading-space', 'CN= {name}', /not valid at character \d+/],
  ['no-type', '{name}', /not valid/],
  ['unknown-type', 'XX={name}', /not valid|not known/],
  ['empty-value', 'CN={name},O=', /O is empty|not valid/],
  ['control', 'CN={name},O=a\\0Ab', /control character/],
  ['country', 'CN={name},C=Germany', /C=DE/],
  ['too-long', `CN={name},O=${'a'.repeat(65)}`, /O has 65 characters: shorten it to 64/],
  ['twice-in-one', 'CN={name}+CN=b', /CN stands twice in one RDN/],
];

const registeredDn = z.string();

export function identityTests(world: () => World): void {
  for (const { case: name, template, requested, read } of valid) {
    test(`a distinguished name: ${name}`, async () => {
      const subject = { name: `dn-${name}` };
      const named = (text: string) => text.replace('*', subject.name);
      await world().server(subject.name, { clients: { identityTemplates: [{ dn: template }] } });
      await world().client(
        subject,
        requested === undefined ? {} : { certificate: { subject: { dn: named(requested) } } },
      );
      await world().recovers(subject);
      const secret = await world().secret(subject);
      assert.ok(secret !== undefined);
      const credentials = credentialsOf(secret);
      const options = ['-nameopt', 'RFC2253,utf8,-esc_msb,sep_comma_plus'];
      const printed = await openssl(['x509', '-in', 'leaf.pem', '-noout', '-subject', ...options], {
        'leaf.pem': credentials.certificate.certPem,
      });
      assert.equal(sortedRdns(printed.replace(/^subject=/, '').replace(/\n$/, '')), sortedRdns(named(read)));
      const dn = registeredDn.parse(world().registrations(subject)[0]?.['tls_client_auth_subject_dn']);
      const status = await world().status(subject);
      assert.equal(status?.certificates?.[0]?.subject, dn);
      assert.equal(status?.subject, `tls_client_auth_subject_dn=${dn}`);
      const answer = await requestToken(credentials);
      assert.equal(answer.status, 200, answer.text);
    });
  }

  for (const [name, dn, says] of invalidTemplates) {
    test(`a template that is no distinguished name: ${name}`, async () => {
      const subject = { name: `template-${name}` };
      await world().server(subject.name, { clients: { identityTemplates: [{ dn }] } });
      await world().client(subject);
      const { message } = await world().serverBecomes(subject.name, 'False', 'IdentityTemplateInvalid');
      assert.match(message, /^spec\.clients\.identityTemplates\[0\]: /);
      assert.match(message, says);
      const sent = /the platform team sees in its status; this client goes on by itself/;
      const { message: told } = await world().becomes(subject, 'Unknown', 'AuthorizationServerNotReady', sent);
      assert.ok(!told.includes(dn));
      await world().nothingWritten(subject);
    });
  }

  test('a template that is corrected', async () => {
    const subject = { name: 'template-corrected' };
    await world().server(subject.name, { clients: { identityTemplates: [{ dn: 'CN={who}' }] } });
    await world().client(subject);
    await world().serverBecomes(subject.name, 'False', 'IdentityTemplateInvalid');
    await world().server(subject.name);
    await world().recovers(subject);
  });

  const invalidSubjects: [string, object, RegExp][] = [
    ['quoted', { dn: 'CN="a",O=payments' }, /not valid at character \d+/],
    ['semicolon', { dn: 'CN=a;O=payments' }, /not valid at character \d+/],
    ['raw', { dn: 'CN=#0403414141' }, /not valid|not granted/],
    ['long', { dn: `CN=${'a'.repeat(65)}` }, /CN has 65 characters: shorten it to 64/],
    ['braces', { dn: 'CN={name},O={namespace}' }, /not granted to this client/],
    ['rdn-added', { dn: 'CN=subject-rdn-added,O=payments,OU=admins' }, /not granted to this client/],
    ['rdn-in-value', { dn: 'CN=subject-rdn-in-value\\,O\\=payments' }, /not granted to this client/],
    ['another-team', { dn: 'CN=subject-another-team,O=reports' }, /not granted to this client/],
    ['another-client', { dn: 'CN=somebody,O=payments' }, /not granted to this client/],
    ['another-kind', { dnsName: 'subject-another-kind' }, /not granted to this client/],
    ['dns-name', { dnsName: 'a b' }, /.+/],
    ['ip-address', { ipAddress: '192.0.2.300' }, /.+/],
    ['email-address', { emailAddress: 'nobody' }, /.+/],
    ['uri', { uri: 'not a uri' }, /.+/],
  ];
  for (const [name, requested, says] of invalidSubjects) {
    test(`a subject that is refused: ${name}`, async () => {
      const subject = { name: `subject-${name}` };
      await world().server(subject.name);
      await world().client(subject, { certificate: { subject: requested } });
      const { message } = await world().becomes(subject, 'False', 'IdentityNotGranted');
      assert.match(message, says);
      await world().nothingWritten(subject);
    });
  }

  test('a name that is too long for the template', async () => {
    const subject = { name: `long.${'a'.repeat(70)}` };
    await world().server(subject.name);
    await world().client(subject);
    const { message } = await world().becomes(subject, 'False', 'IdentityNotGranted');
    assert.match(message, /CN has 75 characters.*Choose a shorter name, or ask the platform team for another template/);
    await world().nothingWritten(subject);
  });

  test('names with dots and hyphens stay one value each', async () => {
    const subject = { name: 'dots.and-hyphens.ou.admins' };
    await world().server(subject.name, {
      clients: { identityTemplates: [{ dn: 'CN={namespace}.{name},OU={clusterId}' }] },
    });
    await world().client(subject);
    await world().recovers(subject);
    assert.equal(
      (await world().status(subject))?.certificates?.[0]?.subject,
      'CN=payments.dots.and-hyphens.ou.admins,OU=test-cluster',
    );
  });

  test('one identity for two clients of two namespaces: the loser learns no name, and gets it once it is free', async () => {
    const server = 'one-identity';
    const winner: Subject = { namespace: TEAM, name: server };
    const loser: Subject = { namespace: 'reports', name: server };
    await world().server(server, { clients: { identityTemplates: [{ dn: 'CN={name}' }] } });
    await world().client(winner, { certificate: { duration: '5m' } });
    await world().ready(winner);
    const notAfter = (await world().status(winner))?.certificates?.[0]?.notAfter ?? '';
    await world().client(loser);
    const first = await world().becomes(loser, 'False', 'IdentityTaken');
    assert.match(first.message, /tls_client_auth_subject_dn=|CN=one-identity/);
    assert.match(
      first.message,
      /Create an OAuthClient with another certificate\.subject, or wait until the other one is gone/,
    );
    const told = JSON.stringify(await world().status(loser));
    assert.ok(!told.includes(TEAM) && !told.includes(notAfter), told);
    await world().nothingWritten(loser);

    await world().kube.delete(oauthClients, winner);
    await waitFor(async () => (await world().status(winner)) === undefined, GENEROUS_MS);
    const [claim] = await world().claims(winner);
    assert.ok(claim !== undefined, 'the claim went with its client');
    assert.equal(new Date(Object(claim['data']).expires).getTime(), new Date(notAfter).getTime());
    const after = await world().becomes(loser, 'False', 'IdentityTaken');
    assert.equal(after.message, first.message);
    assert.deepEqual(world().registrations(loser), []);

    const past = { data: { expires: new Date(Date.now() - 1000).toISOString() } };
    await world().kube.patch(configMaps, { namespace: SYSTEM, name: claim.metadata.name }, past, { type: 'merge' });
    await world().recovers(loser);
    assert.equal((await world().claims(loser)).length, 1);
  });

  test('one identity for many clients at once: one has it, and has it again when it is made anew', async () => {
    const server = 'raced-identity';
    await world().server(server, { clients: { identityTemplates: [{ dn: 'CN=raced identity' }] } });
    const racers = ['a', 'b', 'c', 'd'].map((letter): Subject => ({ namespace: TEAM, name: `raced-${letter}` }));
    const ref = { authorizationServerRef: { name: server } };
    await Promise.all(racers.map((racer) => world().client(racer, ref)));
    const outcome = async (racer: Subject) => {
      const ready = await world().condition(racer);
      return ready?.status === 'True' || ready?.reason === 'IdentityTaken' ? ready.reason : undefined;
    };
    const outcomes = async () => Promise.all(racers.map(outcome));
    await waitFor(async () => (await outcomes()).every((each) => each !== undefined), GENEROUS_MS);
    assert.equal((await outcomes()).filter((each) => each === 'Ready').length, 1);
    const winner = racers[(await outcomes()).indexOf('Ready')] ?? assert.fail();
    const losers = racers.filter((racer) => racer !== winner);
    const losersHaveNothing = () => Promise.all(losers.map((loser) => world().nothingWritten(loser)));
    await losersHaveNothing();

    await world().kube.delete(oauthClients, { namespace: TEAM, name: winner.name });
    await waitFor(async () => (await world().status(winner)) === undefined, GENEROUS_MS);
    await world().client(winner, ref);
    await world().recovers(winner);
    await losersHaveNothing();
  });

  test('spellings of one name are one identity', async () => {
    const one: Subject = { namespace: TEAM, name: 'spelling-one' };
    const other: Subject = { namespace: TEAM, name: 'spelling-two' };
    await world().server(one.name, { clients: { identityTemplates: [{ dn: 'CN=Shared  Name,O=acme' }] } });
    await world().server(other.name, { clients: { identityTemplates: [{ dn: 'cn=shared name,o=ACME' }] } });
    await world().client(one);
    await world().ready(one);
    await world().client(other);
    await world().becomes(other, 'False', 'IdentityTaken');
    await world().nothingWritten(other);
  });
}

/** The order of the values of one RDN is DER's; it means nothing. */
function sortedRdns(dn: string): string {
  return dn
    .split(/(?<!\\),/)
    .map((rdn) =>
      rdn
        .split(/(?<!\\)\+/)
        .toSorted()
        .join('+'),
    )
    .join(',');
}
