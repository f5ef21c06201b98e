/** Watches that end, break, fall silent, lag or go back in time. */
import assert from 'node:assert/strict';
import { oauthClients } from '../../src/api/resources.ts';
import type { Resource } from '../../src/kube/resource.ts';
import type { ApiRequest } from '../support/api-request.ts';
import type { ApiFault } from '../support/api-fault.ts';
import { over, type FaultCase } from './fault-case.ts';
import type { FaultWorld } from './world.ts';

const AREA = 'Watches';
const isOf =
  ({ plural }: Resource, wanted: string) =>
  ({ verb, resource }: ApiRequest) =>
    verb === wanted && resource === plural;
const isWatch = ({ verb }: { verb: string }) => verb === 'watch';

/** Every watch, for as long as it lasts. */
function onWatches(fault: ApiFault): FaultCase['begin'] {
  return ({ proxy }) => {
    const injection = proxy.inject(isWatch, fault);
    return Promise.resolve(() => over(injection));
  };
}

const expiredAnswer = { kind: 'answer', status: 410, reason: 'Expired' } as const;

/** Of the whole cluster: what a list that shows the older state is asked for. */
async function versionOf({ installation }: FaultWorld): Promise<string> {
  return (await installation.kube.list(oauthClients)).resourceVersion;
}

export const watchFaults: readonly FaultCase[] = [
  {
    name: 'watch 410',
    area: AREA,
    fault: 'every watch ends, and is answered 410 Gone when it is resumed, for 5 s',
    outcome: 'lists again, after a growing pause',
    lastsMs: 5_000,
    async begin({ proxy }) {
      const injection = proxy.inject(isWatch, expiredAnswer);
      proxy.endWatches();
      return () => over(injection);
    },
  },
  {
    name: 'watch expires',
    area: AREA,
    fault: 'every watch says 410 Expired in its stream, for 5 s',
    outcome: 'lists again, after a growing pause',
    lastsMs: 5_000,
    begin: onWatches({ kind: 'expire' }),
  },
  {
    name: 'watch reset',
    area: AREA,
    fault: 'the connection of the watches is reset, again and again for 5 s',
    outcome: 'resumes where each watch was',
    lastsMs: 5_000,
    begin: onWatches({ kind: 'reset', when: 'after' }),
  },
  {
    name: 'half-open',
    area: AREA,
    fault: 'every connection goes dead without a FIN: nothing passes any more',
    outcome: 'gives a call up after 30 s; a connection that answers no PING is replaced within 40 s',
    async begin({ proxy }) {
      assert.ok(proxy.freezeConnections() >= 2, 'calls and watches');
      return () => Promise.resolve();
    },
  },
  {
    name: 'silent watch',
    area: AREA,
    fault: 'every open watch stays open and says nothing more, not even a bookmark; calls go on',
    outcome: 'a watch that says nothing and does not end in time is resumed',
    async begin({ proxy }) {
      const injection = proxy.inject(isWatch, { kind: 'silence', when: 'after' });
      return () => over(injection);
    },
  },
  {
    name: 'late events',
    area: AREA,
    fault: 'every event comes 30 s late, for 45 s',
    outcome: 'reads back what it wrote itself; nothing is issued or registered twice',
    lastsMs: 45_000,
    begin: onWatches({ kind: 'delay', milliseconds: 30_000 }),
  },
  {
    name: 'replayed events',
    area: AREA,
    fault: 'watches end, and the next ones tell everything of the last minutes once more',
    outcome: 'what was told before is not believed again',
    lastsMs: 5_000,
    async begin(world, work) {
      const { proxy } = world;
      const resourceVersion = await versionOf(world);
      await work.created.apply();
      await work.created.ready();
      await work.deleted.delete();
      await work.deleted.gone();
      const injection = proxy.inject(isWatch, { kind: 'behind', resourceVersion });
      proxy.endWatches();
      return () => over(injection);
    },
  },
  {
    name: 'older state',
    area: AREA,
    fault: 'OAuthClients are listed as they were before some were deleted, and events come 10 s late, for 10 s',
    outcome: 'refuses a list that is older than what it knows, and asks again',
    lastsMs: 10_000,
    async begin(world, work) {
      const { proxy } = world;
      const resourceVersion = await versionOf(world);
      await work.deleted.delete();
      await work.deleted.gone();
      const lists = proxy.inject(isOf(oauthClients, 'list'), { kind: 'behind', resourceVersion });
      const watches = proxy.inject(isOf(oauthClients, 'watch'), { kind: 'delay', milliseconds: 10_000 });
      const expired = proxy.inject(isOf(oauthClients, 'watch'), { kind: 'expire' }, 1);
      return async () => {
        watches.end();
        await over(expired);
        await over(lists);
      };
    },
  },
];
