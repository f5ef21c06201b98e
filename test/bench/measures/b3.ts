/** B3: what a client costs the API server and the authorization server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import type { AuditEvent } from '../../support/audit-log.ts';
import { isReady } from '../world.ts';
import { finish, isWrite, readyOperator, refs, type Figure, type Measure } from '../measure.ts';

function frequencies(requests: readonly AuditEvent[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { verb, resource, subresource, namespace } of requests) {
    const own = namespace === 'certbound-system' ? ' of the operator' : '';
    const what = `${verb} ${resource}${subresource === '' ? '' : `/${subresource}`}${own}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].toSorted(([, a], [, b]) => b - a);
}

export const b3: Measure = async (world, options) => {
  const { clients: count = 20, say } = options;
  const operator = await readyOperator(world, options);
  const watch = await world.watchClients();
  const figures: Figure[] = [];
  const per = (value: number) => value / count;
  const counted = async (what: string, work: () => Promise<void>): Promise<void> => {
    const started = new Date();
    const before = (await world.authorizationServer.counts()).requests;
    await work();
    // The audit log is written just after the answer.
    await sleep(1_000);
    const requests = await world.requests(started);
    const writes = requests.filter(isWrite);
    const events = writes.filter((e) => e.resource === 'events');
    const reads = requests.filter((e) => e.verb === 'get');
    for (const [what_, times] of frequencies(requests)) say(`${what}: ${per(times)} ${what_}`);
    const after = (await world.authorizationServer.counts()).requests;
    const server = ['POST /reg', 'PUT /reg/:id', 'DELETE /reg/:id'].reduce(
      (sum, route) => sum + (after[route] ?? 0) - (before[route] ?? 0),
      0,
    );
    const token = (after['POST /token'] ?? 0) - (before['POST /token'] ?? 0);
    figures.push(
      { measure: `B3 Kubernetes writes, ${what}`, value: per(writes.length - events.length), unit: 'per client' },
      { measure: `B3 events, ${what}`, value: per(events.length), unit: 'per client' },
      { measure: `B3 reads, ${what}`, value: per(reads.length), unit: 'per client' },
      { measure: `B3 registration writes, ${what}`, value: per(server), unit: 'per client' },
      { measure: `B3 token requests, ${what}`, value: per(token), unit: 'per client' },
    );
  };
  await counted('create to Ready', async () => {
    await world.create(refs(count));
    await watch.ready(count);
  });
  await counted('renewal', async () => {
    for (const ref of refs(count)) {
      const patch = { metadata: { annotations: { [RENEW_REQUESTED]: 'once' } } };
      await world.kube.patch(oauthClients, ref, patch, { type: 'merge' });
    }
    const renewed = (ref: { namespace: string; name: string }) =>
      watch.until(ref, (status) => status.lastHandledRenew === 'once' && isReady(status));
    await Promise.all(refs(count).map(renewed));
  });
  await finish(operator, options);
  return figures;
};
