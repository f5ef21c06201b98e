import type { ServerConnection } from '../authserver/connection.ts';
import { heldAt } from '../authserver/outage.ts';
import { probeFor } from '../authserver/probe.ts';
import type { HeldBack } from '../runtime/pass.ts';
import type { ClientStep, ClientView } from './step.ts';

/** What each step asks of the server. Those that are not here ask nothing, or are tried all the same: a deletion has a deadline, and says so. */
const asks: Partial<Record<ClientStep['name'], 'registration' | 'token'>> = {
  register: 'registration',
  updateRegistration: 'registration',
  recoverUpdate: 'registration',
  recoverCreate: 'registration',
  compareRegistration: 'registration',
  inspectRegistration: 'registration',
  rejectRegistration: 'registration',
  prove: 'token',
  provePublished: 'token',
};

/** Before anything is written for it: while the server does not answer a pass costs nothing, and ends at once. */
export function heldBack(
  connection: ServerConnection | undefined,
  key: string,
  { name }: ClientStep,
  { desired }: ClientView,
): HeldBack | undefined {
  const asked = asks[name];
  if (asked === undefined || connection === undefined) return undefined;
  const { endpoints, issuer } = connection;
  if (asked === 'registration')
    return heldAt(connection, connection.adminUrl ?? endpoints?.registrationEndpoint ?? issuer, key);
  const probe = endpoints && probeFor(endpoints, desired.grantTypes, desired.redirectURIs[0]);
  return probe && heldAt(connection, probe.url, key);
}
