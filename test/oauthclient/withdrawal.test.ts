/** What the platform granted is granted no longer, while a client is registered for it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { digestOf } from '../../src/oauthclient/digest.ts';
import { certificateIn } from '../../src/oauthclient/record.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import { eachRow } from './checks.ts';
import {
  aClient,
  aServer,
  anIssuer,
  brief,
  day,
  findingsOf,
  grants,
  hour,
  instant,
  issuerUrl,
  now,
  planOf,
  recorded,
  renewedAt,
  selfSigned,
  settled,
  untouched,
  viewOf,
  without,
} from './view.ts';

type Grants = typeof grants;

/** The platform changes what it grants; a default issuer stays the default. */
function granting(observed: Observed, change: Partial<Grants> | undefined): Observed {
  const clients = change === undefined ? undefined : { ...grants, ...change };
  return { ...observed, server: aServer({ defaultIssuerRef: { name: 'corporate-clients' }, clients }) };
}
const since = (observed: Observed, at: number): Observed =>
  recorded(observed, { withdrawal: { since: new Date(at).toISOString() } });

const WEB: Partial<OAuthClientSpec> = {
  grantTypes: ['client_credentials', 'authorization_code'],
  redirectURIs: ['https://app.example.com/cb'],
  scope: 'accounts:read',
};
const web = () => settled('tls_client_auth', WEB);
const notGranted = 'Registered=False/NotGranted';
const begins = ['Registered=Unknown/NotGranted → beginWithdrawal'];
const ends = ['Registered=Unknown/Granted → endWithdrawal'];
const withdraws = ['Ready=False/NotGranted', 'CertificateReady=Unknown/WithdrawingSecret → withdrawSecret'];
const deregisters = ['Ready=False/NotGranted', 'Registered=Unknown/Deregistering → deregister'];

/** What is taken away; whether a rotation goes on meanwhile. */
const narrowings: [string, () => Observed, Partial<Grants> | undefined, 'rotates' | 'waits'][] = [
  ['everything', settled, undefined, 'waits'],
  ['the namespace', settled, { namespaces: { names: ['other'] } }, 'rotates'],
  ['a label of the namespace', settled, { namespaces: { selector: { matchLabels: { team: 'a' } } } }, 'rotates'],
  ['the issuer', settled, { issuers: ['other-clients'] }, 'waits'],
  ['the method', settled, { methods: ['self_signed_tls_client_auth'] }, 'rotates'],
  ['the other method', () => settled('self_signed_tls_client_auth'), { methods: ['tls_client_auth'] }, 'rotates'],
  ['the default grant type', settled, { grantTypes: ['authorization_code'] }, 'rotates'],
  ['one of two grant types', web, { grantTypes: ['client_credentials'] }, 'rotates'],
  ['a scope that was asked for', web, { scopes: ['accounts:write'] }, 'rotates'],
  ['every scope', settled, { scopes: [] }, 'waits'],
  ['a redirect URI', web, { redirectURIs: ['https://app.example.com/other/*'] }, 'rotates'],
  ['the identity', settled, { identityTemplates: [{ dn: 'CN={name},O=other' }] }, 'waits'],
  [
    'unbound tokens',
    () =>
      granting(settled('tls_client_auth', { tlsClientCertificateBoundAccessTokens: false }), {
        requireBoundTokens: false,
      }),
    { requireBoundTokens: true },
    'rotates',
  ],
];

describe('a grant that is withdrawn', () => {
  for (const [name, client, change, rotation] of narrowings) {
    describe(name, () => {
      const narrowed = () => granting(client(), change);
      eachRow([
        ['is nothing before it is', client, []],
        ['begins a grace', narrowed, begins],
        ['ends, the Secret first', () => since(narrowed(), now - day), withdraws],
        ['then the registration', () => ({ ...since(narrowed(), now - day), published: undefined }), deregisters],
        ['is nothing any more when it is granted again', () => since(client(), now - hour), ends],
        ['is nothing any more when it was granted again too late', () => since(client(), now - 2 * day), ends],
      ]);
      test(`${rotation} during the grace`, () => {
        const published = { ...certificateIn(client().record?.state, 'Published'), ...renewedAt(now) };
        const due = since(recorded(narrowed(), { certificates: [published] }), now - hour);
        const found = findingsOf(due);
        assert.equal(found[0] && brief(found[0]), notGranted);
        assert.equal(found[0]?.at, now + 23 * hour);
        assert.equal(planOf(due).next?.name, rotation === 'rotates' ? 'stageCertificate' : undefined);
      });
    });
  }

  const scoped = settled('tls_client_auth', { scope: 'accounts:read' });
  const namespaceGone = (observed: Observed) => granting(observed, { namespaces: {} });
  const gone = () => since(without(namespaceGone(settled()), 'registration'), now - 2 * day);
  const unpublished = () => ({ ...gone(), published: undefined });
  const released = () => {
    const observed = unpublished();
    return { ...observed, claim: observed.claim && { ...observed.claim, expires: now } };
  };
  const after = () => recorded(released(), { certificates: [] });

  eachRow([
    [
      'what an update can bring into line is updated',
      () => granting(settled(), { scopes: ['accounts:write'] }),
      ['Registered=Unknown/UpdatingRegistration → intendUpdate'],
    ],
    [
      'a spec that asks for more withdraws nothing, however long',
      () => ({ ...settled(), client: aClient({ scope: 'admin' }) }),
      ['Registered=False/NotGranted blocks'],
    ],
    [
      'nor does one that asks for less, after the platform took away what is registered',
      () => ({ ...granting(scoped, { scopes: ['accounts:write'] }), client: aClient({ scope: 'accounts:write' }) }),
      ['Registered=Unknown/UpdatingRegistration → intendUpdate'],
    ],
    [
      'then the grace ends',
      () => ({
        ...since(granting(scoped, { scopes: ['accounts:write'] }), now - hour),
        client: aClient({ scope: 'accounts:write' }),
      }),
      ends,
    ],
    [
      'a policy of how it is to end is nothing that is registered, and holds up no rotation',
      () =>
        granting(
          recorded(settled('tls_client_auth', { deletionPolicy: 'Orphan' }), { certificates: [renewedAt(now)] }),
          { deletion: ['Delete'] },
        ),
      [notGranted, 'CertificateReady=Unknown/RenewalDue → stageCertificate'],
    ],
    [
      'what is new in the spec is not let through meanwhile',
      () => ({
        ...since(granting(scoped, { scopes: ['accounts:write'] }), now - hour),
        client: aClient({ scope: 'accounts:read admin' }),
      }),
      [notGranted, 'Registered=False/NotGranted blocks'],
    ],
    [
      'a server that is gone took nothing away',
      () => ({ ...settled(), server: undefined }),
      ['Registered=False/AuthorizationServerNotGranted blocks'],
    ],
    [
      'and gave nothing back',
      () => ({ ...since(settled(), now - 2 * day), server: undefined }),
      ['Registered=False/AuthorizationServerNotGranted blocks'],
    ],
    [
      'neither did a namespace that is not known yet',
      () => ({ ...since(settled(), now - 2 * day), namespace: undefined }),
      ['Registered=False/AuthorizationServerNotGranted blocks'],
    ],
    [
      'nor an issuer that is gone, or has a policy of its own: it signs no more',
      () => ({ ...settled(), issuer: anIssuer('tls_client_auth', { policy: {} }) }),
      ['CertificateReady=False/IssuerNotGranted blocks'],
    ],
    [
      'a client that was never registered has nothing to lose',
      () => namespaceGone(untouched()),
      ['Registered=False/AuthorizationServerNotGranted blocks'],
    ],
    [
      'a Secret of somebody else’s in its place holds nothing up',
      () => ({ ...since(namespaceGone(settled()), now - 2 * day), published: undefined, secretRival: 'another' }),
      deregisters,
    ],
    [
      'an answer that is not stored is stored first: what is to be deregistered is known by it alone',
      () => ({ ...namespaceGone(without(settled(), 'registration')), answeredIntent: 'intent-1' }),
      ['Registered=Unknown/StoringAnswer → storeAnswer'],
    ],
    ['deregistered, a Secret that came back goes', gone, withdraws.slice(1)],
    ['then the identity', unpublished, [`Registered=Unknown/NotGranted → releaseClaim`]],
    [
      'and the client id, where it chose one',
      () => {
        const observed = released();
        return { ...observed, clientIdClaim: observed.claim && { ...observed.claim, expires: undefined } };
      },
      [`Registered=Unknown/NotGranted → releaseClientId`],
    ],
    ['then the keys', released, [`Registered=Unknown/NotGranted → destroyKeys`]],
    ['and that is all', after, ['Registered=False/NotGranted blocks']],
    [
      'a registration that was lost meanwhile is not made anew',
      () => since(recorded(without(namespaceGone(settled()), 'registration'), { certificates: [] }), now - hour),
      withdraws.slice(1),
    ],
    ['granted again, it is registered anew', () => granting(after(), {}), ends],
    [
      'as any other',
      () => without(granting(after(), {}), 'withdrawal'),
      ['Registered=Unknown/ClaimingIdentity → claimIdentity'],
    ],
  ]);

  test('a grace of none', () => {
    const observed = granting(settled(), { namespaces: {}, withdrawalGracePeriod: '0s' });
    assert.deepEqual(findingsOf(observed).map(brief), begins);
    assert.deepEqual(findingsOf(since(observed, now)).map(brief), withdraws);
  });

  test('a longer one', () => {
    const observed = since(granting(settled(), { namespaces: {}, withdrawalGracePeriod: '72h' }), now - 2 * day);
    assert.equal(findingsOf(observed)[0]?.at, now + day);
  });

  test('leaves no registration behind that a tenant would like to keep', () => {
    const deleting = { deletionTimestamp: instant(now) };
    const orphan = (observed: Observed) => ({ ...observed, client: aClient({ deletionPolicy: 'Orphan' }, deleting) });
    assert.equal(planOf(orphan(settled())).next?.name, 'withdrawSecret');
    assert.equal(planOf(orphan(namespaceGone(settled()))).next?.name, 'deregister');
  });

  const conditions = (observed: Observed) => {
    const { conditions: all } = statusOf(viewOf(observed), findingsOf(observed));
    return (type: string) => {
      const found = all?.find((c) => c.type === type);
      return found && { is: `${found.status}/${found.reason}`, says: found.message };
    };
  };

  test('says until when it works, and what to do', () => {
    const of = conditions(since(granting(web(), { scopes: ['x'], redirectURIs: [] }), now - hour));
    for (const type of ['Ready', 'Registered']) {
      assert.equal(of(type)?.is, 'False/NotGranted');
      assert.match(
        of(type)?.says ?? '',
        /The scope accounts:read is not granted here.*redirect URI https:\/\/app\.example\.com\/cb/,
      );
      assert.ok(of(type)?.says.includes(`until ${instant(now + 23 * hour)} at the latest`), of(type)?.says);
    }
    assert.equal(of('Stalled')?.is, 'True/NotGranted');
    assert.equal(of('CertificateReady')?.is, 'True/Issued');
  });

  test('says so where the certificate is worth nothing before', () => {
    const says = (change: Partial<Grants>, method?: 'self_signed_tls_client_auth') =>
      conditions(since(granting(settled(method), change), now))('Ready')?.says ?? '';
    const untrusted = /terminators cease to trust its CA now/;
    assert.match(says({ issuers: [] }), untrusted);
    assert.doesNotMatch(says({ issuers: [] }, 'self_signed_tls_client_auth'), untrusted);
    assert.doesNotMatch(says({ scopes: [] }), untrusted);
  });

  test('does not say that it is ready while the server cannot be asked', () => {
    const view = viewOf(since(namespaceGone(settled()), now - 2 * day));
    const status = statusOf(view, findingsOf(view.observed));
    const said = status.conditions?.map(({ type, status: is, reason }) => `${type}=${is}/${reason}`);
    assert.equal(said?.[0], 'Ready=False/NotGranted');
    // It is there until it is gone.
    assert.ok(said.includes('Registered=True/Registered'), said.join());
  });

  test('says that it was deregistered, and forgets the client id', () => {
    const of = conditions(after());
    assert.match(
      of('Registered')?.says ?? '',
      /was deregistered.*There is no such AuthorizationServer, or it is not granted.*registered anew/,
    );
    assert.equal(of('Ready')?.is, 'False/NotGranted');
    assert.equal(statusOf(viewOf(after()), findingsOf(after())).clientId, undefined);
  });

  test('names what stays at a server that deletes nothing, and goes on naming it', () => {
    const leftBehind = [{ clientId: 'client-1', since: instant(now - hour) }];
    const says = `Left behind at ${issuerUrl}, which deletes no registration (RFC 7592 §2.3): client client-1 since ${instant(now - hour)}. Delete it there`;
    const ended = conditions(recorded(after(), { leftBehind }))('Registered')?.says ?? '';
    assert.ok(ended.includes(says), ended);
    assert.doesNotMatch(ended, /deregistered/);
    const anew = conditions(recorded(settled(), { leftBehind }))('Registered');
    assert.equal(anew?.is, 'True/Registered');
    assert.ok(anew.says.includes(says), anew.says);
  });

  test('a self-signed client whose keys rotate meanwhile keeps what is registered', () => {
    const observed = since(
      granting(settled('self_signed_tls_client_auth', { scope: 'accounts:read' }), { scopes: [] }),
      now,
    );
    const rotating = recorded(observed, { certificates: [selfSigned('old'), selfSigned('next', { role: 'Next' })] });
    assert.equal(planOf(rotating).next?.name, 'intendUpdate');
    assert.equal(viewOf(rotating).desired.metadata?.['scope'], 'accounts:read');
    assert.notEqual(
      digestOf(viewOf(rotating).desired.metadata ?? {}),
      rotating.record?.state?.registration?.askedDigest,
    );
  });
});
