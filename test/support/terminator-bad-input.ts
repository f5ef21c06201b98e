/** What people do to a host that has opted in, at whatever product: each is a condition, and nobody is let in by it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OPT_IN, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import {
  apiVersionOf,
  configMaps,
  events,
  type KubernetesObject,
  type Resource,
  secrets,
  services,
} from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import type { TerminatorName } from '../../src/verifier/terminators.ts';
import { apply } from './cluster-objects.ts';
import { forgedHeaders } from './forged-headers.ts';
import { intrude, type Intrusion, keepIntruding, type Victim } from './intruder.ts';
import { boundTo, type TestClient } from './oauth-client.ts';
import { createThrowawayCa, type ThrowawayCa } from './throwaway-ca.ts';
import { waitFor } from './wait-for.ts';

const limitMs = 180_000;
/** The frontend in front of the token endpoint, in every world. */
const FRONTEND = { namespace: 'identity', name: 'authorization-server-mtls' };
const NAMESPACES = [FRONTEND.namespace, 'accounts'];
/** Who opts in and out, and who undoes things. */
const OWNERS: readonly string[] = ['owner', 'test'];

export interface OptedInHost {
  kube: KubeClient;
  /** Of a cluster admin. */
  kubeconfigPath: string;
  /** Issues the terminator's own certificates: nobody trusts it for clients'. */
  serverCa: ThrowawayCa;
  /** Of namespace payments, ready. */
  client: TestClient;
  frontends: Resource;
  /** As its owner has it who has not opted in. */
  frontend: KubernetesObject;
  bundles: Resource;
  /** Kinds of what else the operator makes. */
  companions?: readonly Resource[];
  /** Whose header the server reads. */
  terminator: TerminatorName;
  /** The frontend's spec in another class, and what is told then. */
  classed: { spec: (name: string) => Record<string, unknown>; name: string; told: string };
  /** What another manager sets of what is ours. */
  taken: Record<string, unknown>;
  /** A merge patch that gives it back, where the API server does not let that manager drop it alone. */
  givenBack?: Record<string, unknown>;
  /** Another frontend of the host, in the same namespace; undefined where there is only one for a server. */
  rival: KubernetesObject | undefined;
}

/** Cases of a suite that has the world; the frontend is left without an opt-in. */
export function badInputCases(start: () => Promise<OptedInHost>): void {
  describe('what people do to a host that has opted in', () => {
    let host: OptedInHost;
    let victim: Victim;
    let intrusion: Intrusion | undefined;
    let untouched: unknown;
    /** Who write under a name of their own. */
    const writers: KubeClient[] = [];
    let owner: KubeClient;
    let somebody: KubeClient;

    const writer = (fieldManager: string): KubeClient => {
      const made = KubeClient.fromKubeconfig({ path: host.kubeconfigPath, userAgent: 'test', fieldManager });
      writers.push(made);
      return made;
    };
    const optIn = (server: string | null) =>
      owner.patch(host.frontends, FRONTEND, { metadata: { annotations: { [OPT_IN]: server } } }, { type: 'merge' });
    const ours = async () => {
      const { kube, bundles, companions = [] } = host;
      const labelSelector = `${ROLE_LABEL} in (${Role.trustBundle},${Role.terminator})`;
      const query = { namespace: FRONTEND.namespace, labelSelector };
      return (await Promise.all([bundles, ...companions].map((kind) => kube.list(kind, query)))).flatMap(
        ({ items }) => items,
      );
    };
    const bundle = async (): Promise<KubernetesObject | undefined> =>
      (await ours()).find(({ metadata }) => metadata.labels?.[ROLE_LABEL] === Role.trustBundle);

    const encoded = (text: string): string => (host.bundles === secrets ? Buffer.from(text).toString('base64') : text);

    /** What is said to the client's team, and to the platform. */
    async function told(reason: string): Promise<string> {
      const { conditions } = await host.client.until(
        (status) =>
          status.conditions?.some(
            (each) => each.type === 'TerminatorsReady' && each.status !== 'True' && each.reason === reason,
          ) === true,
        limitMs,
      );
      return conditions?.find(({ type }) => type === 'TerminatorsReady')?.message ?? '';
    }
    /** The client is served by the objects of the operator, and nobody else is. */
    async function restored(): Promise<void> {
      await host.client.until(
        ({ conditions }) => conditions?.some((c) => c.type === 'TerminatorsReady' && c.status === 'True') === true,
        limitMs,
      );
      const credentials = await host.client.credentials();
      await waitFor(
        async () =>
          (await boundTo(credentials).catch(() => '')) === credentials.x5tS256 && (await intrude(victim)) === 'refused',
        limitMs,
      );
    }
    /** Nobody without the client's certificate gets as far as the server meanwhile. */
    async function closed(meanwhile: () => Promise<unknown>): Promise<void> {
      assert.ok(intrusion !== undefined);
      const { seen } = intrusion;
      const tried = () => seen.refused + seen.reached + seen.token;
      const { reached, token } = seen;
      const earlier = tried();
      await meanwhile();
      // Each of the two once more, however quick it was.
      await waitFor(() => tried() > earlier + 3, limitMs);
      assert.deepEqual([seen.reached, seen.token], [reached, token]);
    }

    /** By managers, but for owners, whose opt-in it is: of frontends their fields, of all else the very version. */
    async function ofOthers(): Promise<unknown> {
      const { kube, companions = [] } = host;
      const kinds = [services, secrets, configMaps, ...companions];
      const lists = await Promise.all(
        kinds.flatMap((kind) => NAMESPACES.map((namespace) => kube.list(kind, { namespace }))),
      );
      const objects = lists
        .flatMap(({ items }) => items)
        .filter(({ metadata }) => metadata.labels?.[ROLE_LABEL] === undefined)
        .map(({ metadata }) => `${metadata.namespace}/${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`);
      const frontends = (await kube.list(host.frontends)).items.map(({ metadata, spec }) => ({
        name: metadata.name,
        annotations: metadata.annotations ?? {},
        spec,
        fields: (metadata.managedFields ?? [])
          .filter(({ manager = '', subresource }) => !OWNERS.includes(manager) && subresource === undefined)
          .map((entry) => ({ ...entry, time: undefined })),
      }));
      return { objects: objects.toSorted(), frontends };
    }

    before(async () => {
      host = await start();
      [owner, somebody] = [writer('owner'), writer('somebody')];
      const credentials = await host.client.credentials();
      victim = { credentials, headers: forgedHeaders(host.terminator, credentials.certificate) };
      await host.kube.delete(host.frontends, FRONTEND);
      await waitFor(async () => (await ours()).length === 0, limitMs);
      await apply(host.kube, host.frontend);
      untouched = await ofOthers();
      await optIn('corporate');
      await restored();
      const { name: cn, namespace: o } = host.client.ref;
      intrusion = keepIntruding(victim, await host.serverCa.issue({ cn, o, clientAuth: true }));
    });
    after(async () => {
      await intrusion?.stop();
      for (const each of writers) await each.close();
    });

    it('edits or deletes the bundle: it is written again', () =>
      closed(async () => {
        const written = await bundle();
        assert.ok(written !== undefined);
        const other = (await createThrowawayCa('Elsewhere')).certPem;
        const same = () =>
          waitFor(async () => {
            const now = await bundle();
            const [is, was] = [now, written].map((each) => JSON.stringify([each?.['data'], each?.metadata.labels]));
            return is === was;
          }, limitMs);
        const edit = { data: { 'ca.crt': encoded(other) } };
        await somebody.patch(host.bundles, written.metadata, edit, { type: 'merge' });
        await same();
        await somebody.delete(host.bundles, written.metadata);
        await same();
        await restored();
      }));

    it('has a controller of its own damage the bundle again and again: it is told who', () =>
      closed(async () => {
        const { metadata } = (await bundle()) ?? assert.fail('no bundle');
        const ended = new AbortController();
        const damaging = (async () => {
          while (!ended.signal.aborted) {
            const data = { 'ca.crt': encoded('nothing') };
            await somebody.patch(host.bundles, metadata, { data }, { type: 'merge' }).catch(() => undefined);
            await sleep(200);
          }
        })();
        try {
          assert.match(await told('BundleReverted'), /field manager somebody/);
        } finally {
          ended.abort();
          await damaging;
        }
        await restored();
      }));

    it('has another manager take what is ours: it is told, and given back it is ours again', async () => {
      const { kind } = host.frontends;
      const take = (fields: Record<string, unknown>) => {
        const { metadata, ...rest } = { metadata: {}, ...fields };
        const theirs = {
          apiVersion: apiVersionOf(host.frontends),
          kind,
          ...rest,
          metadata: { ...metadata, ...FRONTEND },
        };
        return host.kube.apply(host.frontends, theirs, { fieldManager: 'argocd', force: true });
      };
      await closed(async () => {
        await take(host.taken);
        assert.match(await told('ConfigurationConflict'), /argocd/);
      });
      // Until the operator has heard of it, nothing is set.
      if (host.givenBack === undefined) await take({});
      else await host.kube.patch(host.frontends, FRONTEND, host.givenBack, { type: 'merge' });
      await restored();
    });

    it('changes the class to one that nobody knows: it is told', () =>
      closed(async () => {
        const { spec, name, told: reason } = host.classed;
        const change = (to: string) => host.kube.patch(host.frontends, FRONTEND, { spec: spec(to) }, { type: 'merge' });
        await change('elsewhere');
        assert.match(await told(reason), /class/);
        await change(name);
        await restored();
      }));

    it('has the clients of another server on the same host: it is told, whose it was', () =>
      closed(async () => {
        await apply(host.kube, ...(await rivalServer(host)));
        if (host.rival === undefined) {
          await optIn('rival');
          await told('TerminatorNotOptedIn');
          await optIn('corporate');
        } else {
          const { metadata } = host.rival;
          await apply(host.kube, { ...host.rival, metadata: { ...metadata, annotations: { [OPT_IN]: 'rival' } } });
          await told('ScopeConflict');
          await waitFor(async () => {
            const { items } = await host.kube.list(events, { namespace: FRONTEND.namespace });
            return items.some(
              (event) =>
                event['reason'] === 'ScopeConflict' &&
                Reflect.get(Object(event['regarding']), 'name') === metadata.name,
            );
          }, limitMs);
          await host.kube.delete(host.frontends, { ...FRONTEND, name: metadata.name });
        }
        await restored();
      }));

    it('deletes the frontend and makes it again: it is told, and the host is as it was', async () => {
      await closed(async () => {
        await host.kube.delete(host.frontends, FRONTEND);
        await told('TerminatorMissing');
        await waitFor(async () => (await ours()).length === 0, limitMs);
      });
      // Made anew it asks for nothing, until it opts in.
      await apply(host.kube, host.frontend);
      await told('TerminatorNotOptedIn');
      await optIn('corporate');
      await restored();
    });

    it('opts out: nothing of ours is left, and nothing of others was touched', async (t) => {
      await optIn(null);
      await waitFor(async () => (await ours()).length === 0, limitMs);
      await waitFor(async () => (await intrude(victim)) !== 'refused', limitMs);
      await intrusion?.stop();
      t.diagnostic(`calls without the client's certificate: ${JSON.stringify(intrusion?.seen)}`);
      assert.equal(intrusion?.seen.token, 0);
      const { items } = await host.kube.list(host.frontends, { namespace: FRONTEND.namespace });
      const managers = items.flatMap(({ metadata }) => metadata.managedFields?.map(({ manager }) => manager) ?? []);
      assert.equal(managers.includes(FIELD_MANAGER), false);
      assert.deepEqual(await ofOthers(), untouched);
    });
  });
}

/** Another server with a CA of its own, in front of which the rival frontend is. */
async function rivalServer({ kube, frontends: { group, kind }, rival }: OptedInHost): Promise<KubernetesObject[]> {
  const name = 'rival';
  const corporate = await kube.get(authorizationServers, { name: 'corporate' });
  const spec: Record<string, unknown> = { ...Object(corporate?.['spec']) };
  const terminators = rival === undefined ? [] : [{ group, kind, ...FRONTEND, name: rival.metadata.name }];
  return [
    {
      apiVersion: apiVersionOf(clientCertificateIssuers),
      kind: clientCertificateIssuers.kind,
      metadata: { name },
      spec: { ca: { managed: { dn: 'CN=Rival Clients,O=Example' } }, policy: { namespaces: { names: ['payments'] } } },
    },
    {
      apiVersion: apiVersionOf(authorizationServers),
      kind: authorizationServers.kind,
      metadata: { name },
      spec: {
        ...spec,
        issuer: 'https://rival.example.test',
        defaultIssuerRef: { name },
        terminators,
        clients: { ...Object(spec['clients']), issuers: [name] },
        resourceServers: { namespaces: { names: [FRONTEND.namespace] } },
      },
    },
  ];
}
