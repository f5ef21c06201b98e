/** Others who write our objects at the same time as we do. */
import assert from 'node:assert/strict';
import { oauthClients } from '../../src/api/resources.ts';
import { ingresses, secrets } from '../../src/kube/resource.ts';
import { recordName } from '../../src/oauthclient/record.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import type { TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import type { FaultCase } from './fault-case.ts';
import { RIVAL, startRival, type Rival } from './rival.ts';
import type { FaultWorld } from './world.ts';

const AREA = 'Rival writers';
const lastsMs = 12_000;
/** Of 600: a machine that does other work besides is slower, and the contest is the same. */
const fewest = 60;
const encode = (text: string) => Buffer.from(text).toString('base64');
const marks = (count: number) => ({ metadata: { annotations: { 'example.com/rival': `${count}` } } });
const MTLS_INGRESS = { namespace: 'identity', name: 'authorization-server-mtls' };
const AUTH_TLS_SECRET = 'nginx.ingress.kubernetes.io/auth-tls-secret';

/** Ends them; each was a rival indeed. */
async function stopped(...rivals: Rival[]): Promise<void> {
  for (const rival of rivals) {
    await rival.stop();
    assert.ok(rival.writes() > fewest, `only ${rival.writes()} writes`);
  }
}

async function told(client: TestClient): Promise<void> {
  const said = async () => (await client.condition('CertificateReady'))?.message ?? '';
  await waitFor(async () => (await said()).includes(`field manager "${RIVAL}"`), 60_000);
  assert.equal((await client.condition('CertificateReady'))?.reason, 'SecretReverted');
}

/** Writes of the operator to this object since then that were carried out. */
async function writesTo({ installation }: FaultWorld, { name }: { name: string }, since: Date): Promise<number> {
  const events = await installation.plane.auditEvents();
  const ours = events.filter(({ userAgent, receivedAt }) => userAgent.startsWith('certbound/') && receivedAt >= since);
  return ours.filter(
    (event) => event.name === name && ['update', 'patch', 'delete'].includes(event.verb) && event.code < 300,
  ).length;
}

const ownSecretOf = ({ ref: { namespace, name } }: TestClient) => ({
  namespace: 'certbound-system',
  name: recordName(namespace, name),
});

export const rivalFaults: readonly FaultCase[] = [
  {
    name: 'rival secret',
    area: AREA,
    fault:
      'the key in a published Secret is overwritten 50 times a second, for 12 s; another Secret is annotated as often while it is renewed',
    outcome:
      'puts it right three times, then after ever longer pauses; `Ready=False/SecretReverted` names the other writer. Annotations are in nobody’s way',
    lastsMs,
    async begin(world, work) {
      const since = new Date();
      const damage = (count: number) => ({ data: { 'tls.key': encode(`rival ${count}`) } });
      const rival = startRival(world, secrets, [work.damaged.secretRef], damage);
      const annotator = startRival(world, secrets, [work.renewed.secretRef, work.rekeyed.secretRef], marks);
      return async () => {
        await told(work.damaged);
        await stopped(rival, annotator);
        const writes = await writesTo(world, work.damaged.secretRef, since);
        assert.ok(writes <= 10, `${writes} writes against ${rival.writes()} of the rival`);
      };
    },
  },
  {
    name: 'rival record',
    area: AREA,
    fault:
      'the operator’s own Secrets are annotated 50 times a second each, for 12 s, while clients are registered, rekeyed and deleted',
    outcome: 'writes on top of it: only another content of the Secret would be a conflict',
    lastsMs,
    async begin(world, work) {
      const refs = [work.created, work.rekeyed, work.deleted].map(ownSecretOf);
      const rival = startRival(world, secrets, refs, marks);
      return () => stopped(rival);
    },
  },
  {
    name: 'rival client',
    area: AREA,
    fault:
      'OAuthClients are labelled and annotated 50 times a second each, for 12 s, while they are created, changed and deleted',
    outcome: 'looks only at what it reads; a status that met a write is written again',
    lastsMs,
    async begin(world, work) {
      const refs = [work.created, work.changed, work.deleted].map(({ ref }) => ref);
      const rival = startRival(world, oauthClients, refs, (count) => ({
        metadata: { labels: { 'example.com/rival': `${count}` }, annotations: { 'example.com/rival': `${count}` } },
      }));
      return () => stopped(rival);
    },
  },
  {
    name: 'rival bundle',
    area: AREA,
    fault:
      'the trust bundle of the mTLS host is overwritten with garbage 50 times a second, for 12 s: nginx can’t use it',
    outcome: 'puts it right three times, then after ever longer pauses (event `BundleReverted` names the other writer)',
    lastsMs,
    async begin(world) {
      const since = new Date();
      const name = bundleName({ controller: 'k8s.io/ingress-nginx', host: HOSTS.mtls });
      const garbage = (count: number) => ({ data: { 'ca.crt': encode(`rival ${count}`) } });
      const rival = startRival(world, secrets, [{ namespace: MTLS_INGRESS.namespace, name }], garbage);
      return async () => {
        await stopped(rival);
        const writes = await writesTo(world, { name }, since);
        assert.ok(writes >= 3 && writes <= 10, `${writes} writes against ${rival.writes()} of the rival`);
      };
    },
  },
  {
    name: 'rival ingress',
    area: AREA,
    fault:
      'the annotation of the mTLS host’s Ingress that names the trust bundle is set to something else 50 times a second, for 12 s, and then withdrawn',
    outcome:
      'leaves it alone (event `ConfigurationConflict` names the other writer); once withdrawn it is applied again',
    lastsMs,
    async begin(world) {
      const annotated = (value: string | null) => ({ metadata: { annotations: { [AUTH_TLS_SECRET]: value } } });
      const since = new Date();
      const rival = startRival(world, ingresses, [MTLS_INGRESS], (count) => annotated(`identity/rival-${count}`));
      return async () => {
        await stopped(rival);
        assert.equal(await writesTo(world, MTLS_INGRESS, since), 0, 'it is not fought over');
        await world.installation.kube.patch(ingresses, MTLS_INGRESS, annotated(null), { type: 'merge' });
      };
    },
  },
];
