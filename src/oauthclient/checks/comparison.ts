import type { Check } from '../../runtime/pass.ts';
import { comparable } from '../comparable.ts';
import { Condition, REGISTRATION_REVERTED, act, type ClientStep, type ClientView } from '../step.ts';

/** Last of all: everything else is nearer to what applications need. */
const compared: Check<ClientView, ClientStep> = {
  name: 'compared',
  find(view) {
    const { comparison } = view.observed;
    if (!comparable(view)) return undefined;
    if (view.now < comparison.due) {
      const { reverted: message, due: at } = comparison;
      if (message === undefined) return undefined;
      return { condition: Condition.registered, status: 'False', reason: REGISTRATION_REVERTED, message, at };
    }
    const message = 'What the authorization server holds of the client is being compared with what was asked for.';
    const step: ClientStep = { name: 'compareRegistration' };
    return { ...act(Condition.registered, 'Comparing', message, step), deferrable: true };
  },
};

export const comparisonChecks = [compared];
