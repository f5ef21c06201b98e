/** Who may choose which client_id, and whose client may become an OAuthClient's. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClientGrants } from '../../src/api/authorization-server.ts';
import { adoptionOf, clientIdViolations, type ClientIdRequest } from '../../src/authserver/registration/client-ids.ts';

const request = (spec: ClientIdRequest['spec'], of: Partial<Omit<ClientIdRequest, 'spec'>> = {}): ClientIdRequest => ({
  spec,
  namespace: 'payments',
  name: 'batch',
  clusterId: 'eu1',
  ...of,
});

const adoptable = [{ clientId: 'legacy', namespace: 'payments', name: 'batch' }];

describe('a chosen client_id', () => {
  const table: [string, ClientGrants | undefined, ClientIdRequest, string[]][] = [
    ['none is chosen', undefined, request({}), []],
    ['nothing is granted', undefined, request({ clientId: 'batch' }), ['clientId']],
    ['an empty grant', { clientIds: [] }, request({ clientId: 'batch' }), ['clientId']],
    ['the whole id', { clientIds: ['batch'] }, request({ clientId: 'batch' }), []],
    ['another case', { clientIds: ['batch'] }, request({ clientId: 'Batch' }), ['clientId']],
    ['a part of it', { clientIds: ['batch'] }, request({ clientId: 'batch2' }), ['clientId']],
    ['its own namespace', { clientIds: ['{namespace}.*'] }, request({ clientId: 'payments.x' }), []],
    ['another namespace', { clientIds: ['{namespace}.*'] }, request({ clientId: 'identity.x' }), ['clientId']],
    [
      'its own name',
      { clientIds: ['{clusterId}-{namespace}-{name}'] },
      request({ clientId: 'eu1-payments-batch' }),
      [],
    ],
    ['a * in the middle is a *', { clientIds: ['a*b'] }, request({ clientId: 'axb' }), ['clientId']],
    [
      'a name that looks like a placeholder',
      { clientIds: ['{name}'] },
      request({ clientId: 'x' }, { name: '{namespace}' }),
      ['clientId'],
    ],
    ['one that is listed for it', { adoptable }, request({ clientId: 'legacy' }), []],
    [
      'listed for another namespace',
      { adoptable },
      request({ clientId: 'legacy' }, { namespace: 'evil' }),
      ['clientId'],
    ],
    ['listed for another client', { adoptable }, request({ clientId: 'legacy' }, { name: 'other' }), ['clientId']],
    [
      'a policy that is not granted',
      { adoption: 'Never' },
      request({ adoptionPolicy: 'IfMarked' }),
      ['adoptionPolicy'],
    ],
    ['no policy', { adoption: 'Never' }, request({}), []],
  ];
  for (const [name, grants, asked, denied] of table) {
    test(name, () =>
      assert.deepEqual(
        clientIdViolations(grants, asked).map(({ field }) => field),
        denied,
      ),
    );
  }
});

describe('adoption', () => {
  const table: [string, ClientGrants | undefined, ClientIdRequest, ReturnType<typeof adoptionOf>][] = [
    ['by default only what is marked', undefined, request({}), 'IfMarked'],
    ['of a listed one', { adoptable }, request({ clientId: 'legacy' }), 'Listed'],
    [
      'of a listed one, which the team does not want',
      { adoptable },
      request({ clientId: 'legacy', adoptionPolicy: 'Never' }),
      'Never',
    ],
    [
      'of a listed one, where the platform wants none',
      { adoptable, adoption: 'Never' },
      request({ clientId: 'legacy' }),
      'Never',
    ],
    [
      'of one that is listed for another namespace',
      { adoptable },
      request({ clientId: 'legacy' }, { namespace: 'evil' }),
      'IfMarked',
    ],
    ['of another than the listed one', { adoptable }, request({ clientId: 'other' }), 'IfMarked'],
    ['of whatever the server calls it', { adoptable }, request({}), 'IfMarked'],
  ];
  for (const [name, grants, asked, adoption] of table) {
    test(name, () => assert.equal(adoptionOf(grants, asked), adoption));
  }
});
