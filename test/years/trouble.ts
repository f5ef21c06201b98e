/** What goes wrong, and what people ask for, at times that chance decides. */
import { durationMs } from '../../src/api/duration.ts';
import { DEFAULT_DURATION, type OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { day, hour } from '../oauthclient/view.ts';
import type { CallFate, World, WriteFate } from './world.ts';

const minute = 60_000;
/** P11. */
export const longestAbsenceMs = 72 * hour;

/** What was asked for, and may have had a certificate issued each. */
export interface Asked {
  renewals: number;
  changes: number;
}

export type Trouble =
  'crash' | 'restart' | 'absence' | 'calls' | 'writes' | 'away' | 'failover' | 'renew' | 'change' | 'damage' | 'ca';

const all: readonly [Trouble, ...Trouble[]] = [
  'crash',
  'crash',
  'crash',
  'restart',
  'absence',
  'calls',
  'writes',
  'away',
  'failover',
  'renew',
  'change',
  'damage',
  'ca',
];

export interface History {
  /** Epoch milliseconds. */
  until: number;
  /** Between one trouble and the next, at most. */
  longestPauseMs: number;
  /** What its team may write into its manifest. Default: another scope. */
  changes?: readonly [Partial<OAuthClientSpec>, ...Partial<OAuthClientSpec>[]];
  troubles?: readonly [Trouble, ...Trouble[]];
}

/** Trouble after trouble, and the operator up at the end. */
export async function live(
  world: World,
  { until, longestPauseMs, troubles = all, ...history }: History,
): Promise<Asked> {
  const asked: Asked = { renewals: 0, changes: 0 };
  const { random, clock } = world;
  const changes = history.changes ?? [{ scope: 'accounts:read' }, { scope: 'accounts:read accounts:write' }];
  await world.begin();
  // The registration itself is not spared.
  if (random.below(2) === 0) world.killAfter(random.below(40));
  world.calls = [random.pick<CallFate>(['ok', 'refused', 'unavailable', 'lost'])];
  while (clock.now() < until) {
    await run(world, Math.min(until, clock.now() + random.below(longestPauseMs)));
    await befall(world, random.pick(troubles), asked, changes);
  }
  world.killAfter(Infinity);
  if (!world.running) world.start();
  world.calls = [];
  world.writes = [];
  return asked;
}

/** Dead ones are started again, after a while. */
async function run(world: World, until: number): Promise<void> {
  const { random, clock } = world;
  while (clock.now() < until) {
    if (!(await world.run(until))) {
      await world.run(clock.now() + random.below(10 * minute));
      world.start();
      // Again, while it puts the last crash right.
      if (random.below(3) === 0) world.killAfter(random.below(25));
    }
  }
}

async function befall(
  world: World,
  trouble: Trouble,
  asked: Asked,
  changes: readonly [Partial<OAuthClientSpec>, ...Partial<OAuthClientSpec>[]],
): Promise<void> {
  const { random, clock } = world;
  switch (trouble) {
    case 'crash':
      if (random.below(2) === 0) world.requestRenewal(`${++asked.renewals}`);
      return world.killAfter(random.below(60));
    case 'restart':
      world.kill();
      return world.start();
    case 'absence':
      world.kill();
      await world.run(clock.now() + random.below(absenceOf(world)));
      return world.start();
    case 'calls':
      world.calls = Array.from({ length: 1 + random.below(4) }, () => random.pick(fatesOf(world)));
      return;
    case 'writes':
      world.writes = Array.from({ length: 1 + random.below(8) }, () =>
        random.pick<WriteFate>(['ok', 'refused', 'lost']),
      );
      return;
    case 'away':
      world.awayUntil = clock.now() + random.below(Math.min(4 * hour, absenceOf(world)));
      return;
    case 'failover':
      return world.failOver();
    case 'renew':
      return world.requestRenewal(`${++asked.renewals}`);
    case 'change':
      asked.changes++;
      return world.change(random.pick(changes));
    case 'ca':
      if (!world.takesCAs) return;
      asked.changes++;
      return world.addIssuer();
    case 'damage':
      return world.damage(random.below(2) === 0 ? undefined : 'ZGFtYWdlZA==');
  }
}

/**
 * What outlasts it: the time between a renewal and the end of the certificate, of which other trouble takes its part. Seventy-two
 * hours are survived by every client whose `renewBefore` is longer.
 */
function absenceOf(world: World): number {
  const { duration = DEFAULT_DURATION, renewBefore } = world.client.spec.certificate ?? {};
  const beforeMs = renewBefore === undefined ? durationMs(duration) / 3 : durationMs(renewBefore);
  return Math.min(longestAbsenceMs, beforeMs / 3);
}

/** A server that replaces the token on every update, and an answer that is lost: nobody can manage that registration any more. */
function fatesOf(world: World): readonly [CallFate, ...CallFate[]] {
  return world.rotates ? ['ok', 'refused', 'unavailable'] : ['ok', 'refused', 'unavailable', 'lost'];
}

/** Nothing goes wrong for a while: everything that was begun is done. */
export async function settled(world: World, forMs = 2 * day): Promise<void> {
  const { clock } = world;
  await world.run(clock.now() + forMs);
}
