import { durationMs } from '../api/duration.ts';
import { wholeSeconds } from '../api/time.ts';
import type { ClientView } from './step.ts';

/**
 * When a client that is being deleted is left behind at a server that does not let it go, epoch milliseconds; undefined: never.
 * As the platform says; where its object is gone, as it said last.
 */
export function deregistrationDeadline(view: ClientView): number | undefined {
  const { deletionTimestamp } = view.observed.client.metadata;
  const allowed = allowedFor(view);
  return deletionTimestamp === undefined || allowed === undefined
    ? undefined
    : Date.parse(deletionTimestamp) + durationMs(allowed);
}

function allowedFor({ observed: { server, record } }: ClientView): string | undefined {
  const registeredAt = record?.state?.server;
  const same = registeredAt === undefined || server?.spec.issuer === registeredAt.issuer;
  const live = server?.spec.clients?.deregistrationDeadline;
  return same && server !== undefined ? live : (registeredAt?.deregistrationDeadline ?? live);
}

export function overdue(view: ClientView): boolean {
  const deadline = deregistrationDeadline(view);
  return deadline !== undefined && deadline <= view.now;
}

/** For people: how long it is tried, and what they can do. */
export function untilWhen(view: ClientView): string {
  const deadline = deregistrationDeadline(view);
  if (deadline !== undefined) {
    return (
      `It is tried until ${wholeSeconds(deadline)} (deregistrationDeadline of the AuthorizationServer); then the registration is left ` +
      'behind at the server, and an event names it.'
    );
  }
  return (
    'It is tried for as long as it takes. To end that, set deletionPolicy: Orphan, where that is granted; or let the platform set ' +
    'spec.clients.deregistrationDeadline on the AuthorizationServer.'
  );
}
