import type { Check } from '../../runtime/pass.ts';
import type { ClientStep, ClientView } from '../step.ts';
import { comparisonChecks } from './comparison.ts';
import { deletionChecks } from './deletion.ts';
import { grantChecks } from './grants.ts';
import { beginningChecks, keepingChecks } from './record.ts';
import { recoveryChecks, registrationChecks } from './registration.ts';
import { reproofChecks, retirementChecks } from './retirement.ts';
import { withdrawalChecks } from './withdrawal.ts';
import { issuanceChecks, issuerChecks, provingChecks } from './rotation.ts';

type ClientCheck = Check<ClientView, ClientStep>;

const when = (deleting: boolean, checks: readonly ClientCheck[]): ClientCheck[] =>
  checks.map((check) => ({
    name: check.name,
    find: (view) =>
      (view.observed.client.metadata.deletionTimestamp !== undefined) === deleting ? check.find(view) : undefined,
  }));

/** The whole protocol, top to bottom: own Secret, intent, call, token first, echo compared, distributed, proved, published. */
export const clientChecks: readonly ClientCheck[] = [
  ...when(true, deletionChecks),
  ...when(false, [
    ...withdrawalChecks,
    ...keepingChecks,
    ...grantChecks,
    ...issuerChecks,
    ...beginningChecks,
    ...reproofChecks,
    ...recoveryChecks,
    ...issuanceChecks,
    ...registrationChecks,
    ...retirementChecks,
    ...provingChecks,
    ...comparisonChecks,
  ]),
];
