import { earliest } from '../runtime/pass.ts';
import { comparable } from './comparable.ts';
import { deregistrationDeadline } from './deadline.ts';
import { renewalOf, retirementOf } from './schedule.ts';
import type { ClientView } from './step.ts';

/** Renewal, end, drain end, re-proof and comparison: to the moment, for what they change must be seen when it changes. */
export function wakeAt(view: ClientView): number | undefined {
  const { desired, now } = view;
  const { record, reproof, comparison } = view.observed;
  const times = (record?.state?.certificates ?? []).flatMap((c) => [
    ...(c.role === 'Published' ? [renewalOf(c, desired), reproof.due] : []),
    retirementOf(c, desired),
    Date.parse(c.notAfter),
  ]);
  if (comparable(view)) times.push(comparison.due);
  times.push(deregistrationDeadline(view) ?? Infinity);
  const exposedUntil = record?.state?.compromisedUntil;
  if (exposedUntil !== undefined) times.push(Date.parse(exposedUntil));
  return earliest(...times.filter((time) => time > now && Number.isFinite(time)));
}
