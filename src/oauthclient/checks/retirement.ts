import type { AuthorizationServer } from '../../api/authorization-server.ts';
import { capabilitiesOf } from '../../authserver/capabilities.ts';
import type { Check } from '../../runtime/pass.ts';
import { GONE, isGone, refusalOf, type Reproof } from '../observed.ts';
import { retired } from '../schedule.ts';
import { Condition, act, stuck, type ClientStep, type ClientView } from '../step.ts';

/** By now the registration no longer names it (its JWK left the desired metadata): the key can be destroyed. */
const drained: Check<ClientView, ClientStep> = {
  name: 'drained',
  find({ observed: { record }, desired, now }) {
    const certificate = record?.state?.certificates.find((c) => retired(c, desired, now));
    if (certificate === undefined) return undefined;
    return act(Condition.certificate, 'Retiring', 'A replaced certificate is being retired.', {
      name: 'retire',
      x5tS256: certificate.x5tS256,
    });
  },
};

/** Before anything that a rotation may wait for, and held up by nothing of it: P9 rests on it. */
const provedAgain: Check<ClientView, ClientStep> = {
  name: 'provedAgain',
  find({ observed, now }) {
    const { reproof, record } = observed;
    const published = record?.state?.certificates.find((c) => c.role === 'Published');
    if (published === undefined || record?.state?.registration === undefined) return undefined;
    // It is to be refused, and its successor is proved as fast as can be.
    if (published.compromised === true) return undefined;
    if (Date.parse(published.notAfter) <= now) return undefined;
    if (now < reproof.due) {
      const refusal = isGone(observed) ? undefined : refusalOf(reproof);
      return refusal && { condition: Condition.proved, status: 'False', ...refusal, at: reproof.due };
    }
    const step: ClientStep = { name: 'provePublished', x5tS256: published.x5tS256 };
    const message = 'The published certificate is being proved again.';
    return { ...act(Condition.proved, 'ProvingAgain', message, step, published.x5tS256), deferrable: true };
  },
};

/** Refused twice: whether the server still knows the client says its registration. */
const registrationInspected: Check<ClientView, ClientStep> = {
  name: 'registrationInspected',
  find({ observed: { reproof, record } }) {
    const registration = record?.state?.registration;
    if (registration === undefined || reproof.refusals < 2 || reproof.registration !== undefined) return undefined;
    const message = 'The certificate is refused; what the server holds of the client is being read.';
    const step: ClientStep = { name: 'inspectRegistration' };
    return {
      ...act(Condition.registered, 'Inspecting', message, step, String(reproof.refusals)),
      deferrable: true,
    };
  },
};

function whyGone({ registration }: Reproof): string {
  return registration === 'absent'
    ? 'it refuses its certificate, and finds no such client'
    : 'it refuses its certificate and its registration access token, and accepts other clients';
}

function newId(server: AuthorizationServer | undefined): string {
  const ours = server !== undefined && capabilitiesOf(server)?.clientIdFrom === 'us';
  return ours ? '' : ', with another client id';
}

/** A second client in place of the first is the platform's decision, or the owner's. */
const registrationThere: Check<ClientView, ClientStep> = {
  name: 'registrationThere',
  find({ observed, desired: { renewRequested } }) {
    const { reproof, server, record } = observed;
    const registration = record?.state?.registration;
    if (registration === undefined || reproof.refusals < 2) return undefined;
    if (reproof.registration !== 'unreadable' && reproof.registration !== 'absent') return undefined;
    const gone = isGone(observed);
    if (renewRequested !== undefined || (gone && server?.spec.clients?.recovery === 'Recreate')) {
      const message = `Client ${registration.clientId} is gone at the server and is registered anew.`;
      return act(Condition.registered, GONE, message, { name: 'forgetRegistration' });
    }
    if (!gone) return undefined;
    return {
      ...stuck(
        Condition.registered,
        GONE,
        `The server knows client ${registration.clientId} no longer: ${whyGone(reproof)}. Restore the client there; or set the ` +
          `annotation certbound.dev/renew-requested to register anew${newId(server)}; or let the platform set spec.clients.recovery: ` +
          'Recreate on the AuthorizationServer.',
      ),
      at: reproof.due,
    };
  },
};

export const retirementChecks = [drained];
export const reproofChecks = [provedAgain, registrationInspected, registrationThere];
