import type { ClientStep } from '../step.ts';
import { retire, stageCertificate } from './certificate.ts';
import type { ClientAction } from './context.ts';
import {
  addFinalizer,
  adoptRecord,
  claimClientId,
  claimIdentity,
  deregister,
  forgetRecord,
  leaveBehind,
  releaseClaim,
  releaseClientId,
  removeFinalizer,
  withdrawSecret,
} from './ownership.ts';
import { claimAndRegister, recordIntent } from './first-registration.ts';
import { makeKeystores } from './keystores.ts';
import { prove, provePublished } from './proof.ts';
import { publish } from './publication.ts';
import { recordCompromise, renewIdentity } from './compromise.ts';
import { beginWithdrawal, destroyKeys, endWithdrawal } from './withdrawal.ts';
import {
  abandonRegistration,
  intend,
  recoverCreate,
  recoverUpdate,
  register,
  rejectRegistration,
  storeAnswer,
  updateRegistration,
} from './registration.ts';
import { compareRegistration } from './registration-comparison.ts';
import { forgetRegistration, inspectRegistration } from './registration-inspection.ts';

/** The action behind each step. */
export function actionOf(step: ClientStep): ClientAction {
  switch (step.name) {
    case 'stageCertificate':
      return stageCertificate(step.reason);
    case 'rejectRegistration':
      return rejectRegistration(step.message);
    case 'makeKeystores':
      return makeKeystores(step.trust);
    case 'publish':
      return publish(step.content);
    case 'prove':
      return prove(step.x5tS256);
    case 'provePublished':
      return provePublished(step.x5tS256);
    case 'retire':
      return retire(step.x5tS256);
    case 'recordCompromise':
      return recordCompromise(step.x5tS256);
    default:
      return plainActions[step.name];
  }
}

const plainActions = {
  addFinalizer,
  adoptRecord,
  claimIdentity,
  claimClientId,
  claimAndRegister,
  recordIntent,
  intendCreate: intend('create'),
  register,
  storeAnswer,
  abandonRegistration,
  recoverCreate,
  intendUpdate: intend('update'),
  updateRegistration,
  recoverUpdate,
  inspectRegistration,
  compareRegistration,
  forgetRegistration,
  beginWithdrawal,
  endWithdrawal,
  deregister,
  leaveBehind,
  withdrawSecret,
  releaseClaim,
  releaseClientId,
  renewIdentity,
  destroyKeys,
  forgetRecord,
  removeFinalizer,
} satisfies Record<string, ClientAction>;
