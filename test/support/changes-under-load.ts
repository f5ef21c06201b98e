/** What may change beneath an application: its certificate, twice, and then the CA that it comes from. */
import assert from 'node:assert/strict';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { ClientCredentials } from './application.ts';
import { apply } from './cluster-objects.ts';
import type { Answer } from './https-call.ts';
import { CLIENTS_ALLOWED } from './installation.ts';
import { keepCalling } from './load.ts';
import type { TestClient } from './oauth-client.ts';
import { waitFor } from './wait-for.ts';

const SECOND = 'second-clients';
const limitMs = 180_000;

/**
 * A token and a call of the API with it, again and again, while all of that happens: each is answered as it must be.
 *
 * @param callApi with the certificate that the token is bound to
 */
export async function changesUnderLoad(
  { kube }: { kube: KubeClient },
  client: TestClient,
  callApi: (token: string, certificate: ClientCredentials['certificate']) => Promise<Answer>,
): Promise<string> {
  const load = keepCalling(client, async (token, { certificate, x5tS256 }) => {
    const answer = await callApi(token, certificate);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json['x5t_s256'], x5tS256);
  });
  const renewedBy = async (change: () => Promise<unknown>): Promise<void> => {
    const { x5tS256 } = await client.credentials();
    await change();
    const isUsed = async () => {
      const { x5tS256: next } = await client.credentials();
      return load.failed || (next !== x5tS256 && load.used.has(next));
    };
    await waitFor(isUsed, limitMs);
  };
  const change = (spec: Record<string, unknown>) => kube.patch(oauthClients, client.ref, { spec }, { type: 'merge' });
  // There are never more than three certificates: the first has to be gone before the fourth is issued.
  await change({ certificate: { drain: '1s' } });
  try {
    for (const wish of ['once', 'twice']) await renewedBy(() => client.annotate({ [RENEW_REQUESTED]: wish }));
    await apply(kube, {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: clientCertificateIssuers.kind,
      metadata: { name: SECOND },
      spec: {
        ca: { managed: { dn: 'CN=Second OAuth Clients,O=Example' } },
        policy: { namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } } },
      },
    });
    const both = { clients: { issuers: ['corporate-clients', SECOND] } };
    await kube.patch(authorizationServers, { name: 'corporate' }, { spec: both }, { type: 'merge' });
    await renewedBy(() => change({ certificate: { issuerRef: { name: SECOND } } }));
  } finally {
    await load.stop();
  }
  assert.equal(load.used.size, 4);
  assert.ok(load.calls > 10, `${load.calls} calls`);
  return `${load.calls} calls, ${load.used.size} certificates`;
}
