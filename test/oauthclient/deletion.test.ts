import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { orphanOf } from '../../src/oauthclient/checks/deletion.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { eachRow } from './checks.ts';
import { aClient, aServer, now, planOf, projected, settled, viewOf, without } from './view.ts';

function deleted(observed: Observed, spec: Observed['client']['spec'] = observed.client.spec): Observed {
  const { metadata } = observed.client;
  return { ...observed, client: aClient(spec, { ...metadata, deletionTimestamp: new Date(now).toISOString() }) };
}
const ownClaim = () => {
  const { claim: held } = settled();
  if (held === undefined) throw new TypeError('there is no claim');
  return held;
};
const orphan = () => deleted(settled(), { ...settled().client.spec, deletionPolicy: 'Orphan' });
const withdraw = ['CertificateReady=Unknown/WithdrawingSecret → withdrawSecret'];
const missing = ['Registered=False/AuthorizationServerMissing blocks'];

const known = (observed: Observed): Observed => ({
  ...observed,
  client: { ...observed.client, status: { clientId: 'client-1' } },
});

const lost = (spec?: Observed['client']['spec']) => ({
  ...known(deleted(settled(), spec)),
  record: undefined,
  published: undefined,
  claim: undefined,
});

const orphaned = (observed: Observed) => orphanOf(viewOf(observed));

describe('deletion', () => {
  eachRow([
    [
      'the definition is being deleted: nobody asked for this',
      () => ({ ...deleted(settled()), definitionTerminating: true }),
      ['Registered=False/CustomResourceDefinitionDeleted blocks'],
    ],
    ['first the registration', () => deleted(settled()), ['Registered=Unknown/Deregistering → deregister']],
    [
      'the answer to its registration was not stored: what is to be deregistered is known by it alone',
      () => ({ ...deleted(without(settled(), 'registration')), answeredIntent: 'intent-1' }),
      ['Registered=Unknown/StoringAnswer → storeAnswer'],
    ],
    [
      'a registration that was announced, of which nothing is known, becomes known first',
      () => ({ ...deleted(settled()), record: undefined, announced: { ...ownClaim(), intent: 'intent-1' } }),
      ['Registered=Unknown/RegistrationAnswerLost → recordIntent'],
    ],
    ['the server is gone', () => ({ ...deleted(settled()), server: undefined }), missing],
    [
      'the server stands for another issuer',
      () => ({ ...deleted(settled()), server: aServer({ issuer: 'https://other.example.com' }) }),
      missing,
    ],
    ['Orphan leaves the registration', orphan, withdraw],
    ['Orphan needs no server', () => ({ ...orphan(), server: undefined }), withdraw],
    [
      'a record that can’t be read may hold a registration: it is not thrown away',
      () => ({ ...deleted(settled()), record: projected(undefined) }),
      ['CertificateReady=False/RecordDamaged blocks'],
    ],
    ['Orphan needs no record', () => ({ ...orphan(), record: projected(undefined) }), withdraw],
    ['then the Secret', () => deleted(without(settled(), 'registration')), withdraw],
  ]);

  test('the rest in order, and nothing twice', () => {
    let observed = deleted(without(settled(), 'registration'));
    const steps: (string | undefined)[] = [];
    const take = (change: Partial<Observed>) => {
      steps.push(planOf(observed).next?.name);
      observed = { ...observed, ...change };
    };
    take({ published: undefined });
    take({ claim: observed.claim && { ...observed.claim, expires: now } });
    take({ record: undefined });
    take({ client: { ...observed.client, metadata: { ...observed.client.metadata, finalizers: [] } } });
    take({});
    assert.deepEqual(steps, ['withdrawSecret', 'releaseClaim', 'forgetRecord', 'removeFinalizer', undefined]);
  });

  eachRow([
    [
      'status forgets a client that is gone before the record does',
      () => ({ ...known(deleted(without(settled(), 'registration'))), published: undefined, claim: undefined }),
      ['Registered=Unknown/Deregistered blocks'],
    ],
    [
      'one that stays behind it names to the end',
      () => ({ ...known(orphan()), published: undefined, claim: undefined }),
      ['CertificateReady=Unknown/DestroyingKeys → forgetRecord'],
    ],
    ['a lost record holds nothing up', () => lost(), ['Ready=Unknown/Deleting → removeFinalizer']],
  ]);

  test('who stays behind at the server is named', () => {
    assert.equal(orphaned(lost())?.clientId, 'client-1');
    assert.match(orphaned(lost())?.why ?? '', /own Secret/);
    assert.equal(orphaned(lost(orphan().client.spec))?.why, 'deletionPolicy: Orphan');
    assert.equal(orphaned({ ...lost(), client: deleted(settled()).client }), undefined, 'it was never registered');
    assert.equal(orphaned(known(deleted(settled()))), undefined, 'it is not over yet');
  });

  test('what belongs to others is left alone', () => {
    const observed = deleted(without(settled(), 'registration'));
    const { published, claim } = observed;
    const others = {
      ...observed,
      published: published && { ...published, ownerUid: 'uid-other' },
      claim: claim && { ...claim, holderUid: 'uid-other' },
    };
    assert.equal(planOf(others).next?.name, 'forgetRecord');
  });

  test('nothing that keeps a living client from working keeps a dead one', () => {
    const broken: Observed = {
      ...deleted(without(settled(), 'registration')),
      server: undefined,
      issuer: undefined,
      secretRival: 'older',
      namespace: { name: 'payments', labels: {}, terminating: true },
    };
    assert.equal(planOf(broken).next?.name, 'withdrawSecret');
  });
});
