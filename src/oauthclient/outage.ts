import type { ServerConnection } from '../authserver/connection/connection.ts';
import { heldAt } from '../authserver/connection/outage.ts';
import { probeFor } from '../authserver/proof/probe.ts';
import { OperatorError } from '../errors.ts';
import type { HeldBack } from '../runtime/pass.ts';
import { overdue, untilWhen } from './deadline.ts';
import type { ClientStep, ClientView } from './step.ts';

/** What each step asks of the server; those that are not here ask nothing. */
const asks: Partial<Record<ClientStep['name'], 'registration' | 'token'>> = {
  claimAndRegister: 'registration',
  register: 'registration',
  updateRegistration: 'registration',
  recoverUpdate: 'registration',
  recoverCreate: 'registration',
  compareRegistration: 'registration',
  inspectRegistration: 'registration',
  rejectRegistration: 'registration',
  deregister: 'registration',
  prove: 'token',
  provePublished: 'token',
};

/**
 * Before anything is written for it: while the server does not answer a pass costs nothing, and ends at once. A deletion says
 * how long that goes on, and is tried once more when its time is over.
 */
export function heldBack(
  connection: ServerConnection | undefined,
  key: string,
  { name }: ClientStep,
  view: ClientView,
): HeldBack | undefined {
  const asked = asks[name];
  if (asked === undefined || connection === undefined || overdue(view)) return undefined;
  const url = urlOf(connection, asked, view);
  const held = url === undefined ? undefined : heldAt(connection, url, key);
  if (held === undefined || view.observed.client.metadata.deletionTimestamp === undefined) return held;
  return { ...held, error: new OperatorError(held.error.code, `${held.error.message} ${untilWhen(view)}`) };
}

function urlOf(
  { adminUrl, endpoints, issuer }: ServerConnection,
  asked: 'registration' | 'token',
  { desired }: ClientView,
): string | undefined {
  if (asked === 'registration') return adminUrl ?? endpoints?.registrationEndpoint ?? issuer;
  return endpoints && probeFor(endpoints, desired.grantTypes, desired.redirectURIs[0])?.url;
}
