import type { Check } from '../../runtime/pass.ts';
import { refusalOf } from '../observed.ts';
import { retired } from '../schedule.ts';
import { Condition, act, type ClientStep, type ClientView } from '../step.ts';

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
  find({ observed: { reproof, record }, now }) {
    const published = record?.state?.certificates.find((c) => c.role === 'Published');
    if (published === undefined || record?.state?.registration === undefined) return undefined;
    // It is to be refused, and its successor is proved as fast as can be.
    if (published.compromised === true) return undefined;
    if (Date.parse(published.notAfter) <= now) return undefined;
    if (now < reproof.due) {
      const refusal = refusalOf(reproof);
      return refusal && { condition: Condition.proved, status: 'False', ...refusal, at: reproof.due };
    }
    const step: ClientStep = { name: 'provePublished', x5tS256: published.x5tS256 };
    const message = 'The published certificate is being proved again.';
    return { ...act(Condition.proved, 'ProvingAgain', message, step, published.x5tS256), deferrable: true };
  },
};

export const retirementChecks = [drained];
export const reproofChecks = [provedAgain];
