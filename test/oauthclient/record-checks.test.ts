import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import type { HeldCertificate, SecretProjection } from '../../src/oauthclient/published-secret.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import { eachRow } from './checks.ts';
import {
  aCertificate,
  aClient,
  aServer,
  brief,
  day,
  findingsOf,
  grants,
  hour,
  instant,
  now,
  planOf,
  projected,
  recorded,
  settled,
  untouched,
  viewOf,
} from './view.ts';

const renew = { 'certbound.dev/renew-requested': 'once' };
const lost = (change: Partial<Observed> = {}): Observed => ({
  ...settled(),
  client: aClient({}, {}, { clientId: 'client-1' }),
  record: undefined,
  published: undefined,
  ...change,
});
const reborn = (observed: Observed): Observed => ({
  ...observed,
  client: { ...observed.client, metadata: { ...observed.client.metadata, uid: 'uid-2' } },
  published: undefined,
});
const secretWith = (change: Partial<SecretProjection>): Observed => {
  const observed = settled();
  if (observed.published === undefined) throw new TypeError('nothing is published');
  return { ...observed, published: { ...observed.published, ...change } };
};
const digestsWith = (change: Record<string, string>) =>
  secretWith({ digests: { ...settled().published?.digests, ...change } });
const claimedBy = (holder: string, holderUid: string, expires?: number): Observed => ({
  ...untouched(),
  client: aClient(),
  claim: { name: 'claim', resourceVersion: '1', holder, holderUid, expires },
});
const taken = ['CertificateReady=False/SecretNameTaken blocks'];
const republish = ['CertificateReady=Unknown/Republishing → publish'];
/** Held by the client, where it announces a registration. */
const announcing = (intent?: string): Observed => {
  const observed = { ...untouched(), client: aClient() };
  const { claim } = settled();
  if (intent === undefined || claim === undefined) return observed;
  return { ...observed, claim: { ...claim, intent }, announced: { ...claim, intent } };
};
const registering = ['Registered=Unknown/Registering → claimAndRegister'];
const recording = ['Registered=Unknown/RegistrationAnswerLost → recordIntent'];
const claiming = ['Registered=Unknown/ClaimingIdentity → claimIdentity'];

describe('at rest', () => {
  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
    test(`${method}: nothing is found`, () => assert.deepEqual(findingsOf(settled(method)), []));
  }
});

/** Seen a day ago, and replaced since: what the record has is older. */
const newer = { x5tS256: 'unknown', notBefore: now - day, notAfter: now + 29 * day };
const restored = (method?: AuthMethod, holds: HeldCertificate = newer): Observed => {
  const observed = settled(method);
  if (observed.published === undefined) throw new TypeError('nothing is published');
  return {
    ...observed,
    published: { ...observed.published, digests: { ...observed.published.digests, 'tls.crt': 'x' }, holds },
  };
};

describe('a record that was restored from an older copy', () => {
  const replaced = [
    'CertificateReady=Unknown/RecordOutdated',
    'CertificateReady=Unknown/RecordOutdated → stageCertificate',
  ];

  eachRow([
    ['what is published stays until its successor is accepted', () => restored(), replaced],
    [
      'also where what the record has ended',
      () => recorded(restored(), { certificates: [aCertificate('old', { notAfter: instant(now) })] }),
      replaced,
    ],
    [
      'a registered key is not replaced unasked',
      () => restored('self_signed_tls_client_auth'),
      ['CertificateReady=False/RecordOutdated blocks'],
    ],
    [
      'but when it is asked for',
      () => {
        const observed = restored('self_signed_tls_client_auth');
        const metadata = { ...observed.client.metadata, annotations: renew };
        return { ...observed, client: { ...observed.client, metadata } };
      },
      replaced,
    ],
    [
      'what ended is written over',
      () => restored('self_signed_tls_client_auth', { ...newer, notAfter: now }),
      republish,
    ],
    ['so is what is not valid yet', () => restored(undefined, { ...newer, notBefore: now + 1 }), republish],
    [
      'and whoever forges one again and again gets no more rotations than anybody',
      () => {
        const drains = { role: 'Draining' as const, replacedAt: instant(now - 1000) };
        const live = [aCertificate('old'), aCertificate('a', drains), aCertificate('b', drains)];
        return recorded(restored(), { certificates: live });
      },
      ['CertificateReady=Unknown/RecordOutdated', 'CertificateReady=Unknown/RotationWaits'],
    ],
    ['so is an older one', () => restored(undefined, { ...newer, notBefore: now - 20 * day }), republish],
    ['so is one beside a damaged value', () => digestsWith({ 'tls.crt': 'x' }), republish],
    [
      'so is another client’s',
      () => {
        const observed = restored();
        const published = observed.published && {
          ...observed.published,
          digests: { ...observed.published.digests, client_id: 'x' },
        };
        return { ...observed, published };
      },
      republish,
    ],
  ]);

  test('Ready speaks of nothing that the record has instead', () => {
    const of = (observed: Observed) => statusOf(viewOf(observed), findingsOf(observed)).conditions?.[0];
    assert.deepEqual([of(restored())?.status, of(restored())?.reason], ['Unknown', 'RecordOutdated']);
    const stuck = of(restored('self_signed_tls_client_auth'));
    assert.deepEqual([stuck?.status, stuck?.reason], ['False', 'RecordOutdated']);
    assert.match(stuck?.message ?? '', /certificate unknown, .* restored from an older copy/);
  });
});

describe('the record is the truth', () => {
  const unreadable = ['CertificateReady=False/RecordDamaged blocks'];
  eachRow([
    ['the record can’t be read', () => ({ ...settled(), record: projected(undefined) }), unreadable],
    [
      'the same name under a new uid',
      () => reborn(settled()),
      ['CertificateReady=Unknown/AdoptingRecord → adoptRecord'],
    ],
    [
      'the same name with another method',
      () => {
        const { client } = settled('self_signed_tls_client_auth');
        return reborn({ ...settled(), client });
      },
      ['Registered=False/PredecessorRegistered blocks'],
    ],
    [
      'the same name with another identity',
      () =>
        reborn({
          ...settled(),
          server: aServer({ clients: { ...grants, identityTemplates: [{ dn: 'CN=other' }, { dn: 'CN={name}' }] } }),
          client: aClient({ certificate: { subject: { dn: 'CN=other' } } }),
        }),
      ['Registered=False/PredecessorRegistered blocks'],
    ],
    ['the record is lost', () => lost(), ['Registered=False/RecordLost blocks']],
    [
      'the record is lost and the platform lets clients be registered anew',
      () =>
        lost({
          server: aServer({
            defaultIssuerRef: { name: 'corporate-clients' },
            clients: { ...grants, recovery: 'Recreate' },
          }),
        }),
      ['CertificateReady=Unknown/Issuing → stageCertificate'],
    ],
    [
      'the record is lost and the team asks for a new one',
      () => lost({ client: aClient({}, { annotations: renew }, { clientId: 'client-1' }) }),
      ['CertificateReady=Unknown/Issuing → stageCertificate'],
    ],
    [
      'the record is lost and the annotation is of long ago',
      () => lost({ client: aClient({}, { annotations: renew }, { clientId: 'client-1', lastHandledRenew: 'once' }) }),
      ['Registered=False/RecordLost blocks'],
    ],
  ]);
});

describe('a published Secret that somebody else keeps writing', () => {
  const content = (): string => {
    const { next } = planOf(digestsWith({ 'tls.key': 'x' }));
    if (next?.name !== 'publish') throw new TypeError('it is not published again');
    return next.content;
  };
  const rewritten = (...ago: number[]) => ({ content: content(), times: ago.map((ms) => now - ms) });
  const damaged = (change: Partial<Observed>) => () => ({ ...digestsWith({ 'tls.key': 'x' }), ...change });
  const contested = ['CertificateReady=False/SecretReverted'];
  eachRow([
    ['is put right at once, twice', () => damaged({ rewritten: rewritten(20, 10) })(), republish],
    ['then after a pause', () => damaged({ rewritten: rewritten(4_999, 4_999, 4_999) })(), contested],
    ['and is put right after it', () => damaged({ rewritten: rewritten(5_000, 5_000, 5_000) })(), republish],
    ['the pauses grow', () => damaged({ rewritten: rewritten(9_999, 9_999, 9_999, 9_999) })(), contested],
    [
      'what was ten minutes ago counts no more',
      () => damaged({ rewritten: rewritten(600_000, 600_000, 10) })(),
      republish,
    ],
    ['one that is right for now', () => ({ ...settled(), rewritten: rewritten(9_999, 9_999, 9_999) }), contested],
    ['one that stayed right', () => ({ ...settled(), rewritten: rewritten(10_000, 10_000, 10_000) }), []],
    [
      'a new certificate waits for nobody',
      () => damaged({ rewritten: { content: 'another', times: [now, now, now] } })(),
      republish,
    ],
    [
      'a renewal goes on meanwhile',
      () => ({
        ...recorded(settled(), { certificates: [aCertificate('old')] }),
        ...damaged({ rewritten: rewritten(1, 1, 1) })(),
        client: aClient({}, { annotations: renew }),
      }),
      [...contested, 'CertificateReady=Unknown/RenewRequested → stageCertificate'],
    ],
  ]);

  test('is told with the other writer and when it is written again', () => {
    const observed = secretWith({ lastWriter: 'argocd', digests: {} });
    const [finding] = findingsOf({ ...observed, rewritten: rewritten(1_000, 1_000, 1_000) });
    assert.match(
      finding?.message ?? '',
      /3 times in ten minutes.*field manager "argocd".*written again at 2026-01-15T12:00:04Z/,
    );
    assert.equal(finding?.at, now + 4_000);
  });
});

describe('the published Secret is what the record says', () => {
  eachRow([
    ['somebody else’s Secret', () => secretWith({ ownerUid: 'uid-other' }), taken],
    ['nobody’s Secret', () => ({ ...untouched(), published: secretWith({ ownerUid: undefined }).published }), taken],
    [
      'an older client is to have this Secret name',
      () => ({ ...settled(), published: undefined, secretRival: 'older' }),
      taken,
    ],
    ['whoever has published keeps the name', () => ({ ...settled(), secretRival: 'older' }), []],
    ['deleted', () => ({ ...settled(), published: undefined }), ['CertificateReady=Unknown/Publishing → publish']],
    ['a value was changed', () => digestsWith({ 'tls.key': 'x' }), republish],
    ['a value of somebody else’s was added', () => digestsWith({ 'app.conf': 'x' }), []],
    ['the label is gone', () => secretWith({ labels: {} }), republish],
    ['the type is wrong', () => secretWith({ type: 'Opaque' }), republish],
    [
      'the server has another token endpoint',
      () => ({
        ...settled(),
        server: aServer({}, { endpoints: { tokenEndpoint: 'https://as.example.com/new' } }),
      }),
      republish,
    ],
    [
      'the server’s CA bundle is gone: what is left of it would be trusted for ever',
      () => ({
        ...settled(),
        server: aServer({ defaultIssuerRef: { name: 'corporate-clients' }, caBundle: undefined }),
      }),
      republish,
    ],
    [
      'the server is gone: what was published stays, and is written again',
      () => ({ ...settled(), server: undefined, published: undefined }),
      ['CertificateReady=Unknown/Publishing → publish'],
    ],
    [
      'the namespace is being deleted',
      () => ({ ...settled(), published: undefined, namespace: { name: 'payments', labels: {}, terminating: true } }),
      ['Ready=Unknown/NamespaceTerminating blocks'],
    ],
  ]);

  test('it has ended: that is said from that second on, and renewal goes on', () => {
    const ended = recorded(settled(), { certificates: [aCertificate('old', { notAfter: instant(now + 1000) })] });
    const reasons = (at: number) => findingsOf(ended, at).map(brief);
    assert.deepEqual(reasons(now + 999), ['CertificateReady=Unknown/RenewalDue → stageCertificate']);
    assert.deepEqual(findingsOf(settled(), now + 15 * day).map(brief), [
      'CertificateReady=False/Expired',
      'CertificateReady=Unknown/RenewalDue → stageCertificate',
    ]);
    assert.deepEqual(reasons(now + 1000).slice(0, 1), ['CertificateReady=False/Expired']);
  });
});

describe('beginning', () => {
  eachRow([
    [
      'the finalizer comes before anything that it protects',
      () => untouched(),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
    ['then the identity, which announces the registration', () => announcing(), registering],
    [
      'which is not called for again where the call has not begun',
      () => ({ ...announcing('intent-1'), unsentIntent: 'intent-1' }),
      registering,
    ],
    ['and may have been called for where nobody knows', () => announcing('intent-1'), recording],
    [
      'as where this process announced another',
      () => ({ ...announcing('intent-1'), unsentIntent: 'intent-0' }),
      recording,
    ],
    [
      'and where another identity is asked for by now',
      () => ({ ...announcing('intent-1'), claim: undefined, unsentIntent: 'intent-1' }),
      recording,
    ],
    [
      'whose answer is here is stored',
      () => ({ ...announcing('intent-1'), answeredIntent: 'intent-1' }),
      ['Registered=Unknown/StoringAnswer → storeAnswer'],
    ],
    [
      'an identity that was held before is claimed, and announces nothing',
      () => claimedBy('payments/batch', 'uid-1', now),
      claiming,
    ],
    [
      'an identity that somebody else holds',
      () => claimedBy('other/client', 'uid-9'),
      ['Registered=False/IdentityTaken blocks'],
    ],
    [
      'an identity that a certificate still names',
      () => claimedBy('other/client', 'uid-9', now + hour),
      ['Registered=False/IdentityTaken blocks'],
    ],
    ['an identity that is free again', () => claimedBy('other/client', 'uid-9', now), claiming],
    ['an identity of the same name’s predecessor', () => claimedBy('payments/batch', 'uid-0'), claiming],
    [
      'then the first certificate',
      () => claimedBy('payments/batch', 'uid-1'),
      ['CertificateReady=Unknown/Issuing → stageCertificate'],
    ],
    [
      'a self-signed certificate is its own identity: none is claimed',
      () => ({
        ...untouched('self_signed_tls_client_auth'),
        client: aClient({ tokenEndpointAuthMethod: 'self_signed_tls_client_auth' }),
      }),
      ['CertificateReady=Unknown/Issuing → stageCertificate'],
    ],
  ]);

  test('who waits for an identity looks again when it becomes free', () => {
    assert.equal(planOf(claimedBy('other/client', 'uid-9', now + hour)).at, now + hour);
  });
});
