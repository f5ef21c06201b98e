import type { Finding } from '../runtime/pass.ts';
import type { View } from '../runtime/pass.ts';
import type { Desired } from './desired.ts';
import type { Observed } from './observed.ts';

/** Everything that is ever done for a client; each is a crash point, and each ends by storing what it learnt. */
export type ClientStep =
  | { name: 'addFinalizer' }
  | { name: 'adoptRecord' }
  | { name: 'claimIdentity' }
  | { name: 'claimClientId' }
  | { name: 'claimAndRegister' }
  | { name: 'recordIntent' }
  | { name: 'stageCertificate'; reason: string }
  | { name: 'intendCreate' }
  | { name: 'register' }
  | { name: 'storeAnswer' }
  | { name: 'abandonRegistration' }
  | { name: 'recoverCreate' }
  | { name: 'rejectRegistration'; message: string }
  | { name: 'intendUpdate' }
  | { name: 'updateRegistration' }
  | { name: 'recoverUpdate' }
  | { name: 'prove'; x5tS256: string }
  | { name: 'makeKeystores'; trust: string }
  | { name: 'publish'; content: string }
  | { name: 'retire'; x5tS256: string }
  | { name: 'recordCompromise'; x5tS256: string }
  | { name: 'renewIdentity' }
  | { name: 'provePublished'; x5tS256: string }
  | { name: 'inspectRegistration' }
  | { name: 'compareRegistration' }
  | { name: 'forgetRegistration' }
  | { name: 'beginWithdrawal' }
  | { name: 'endWithdrawal' }
  | { name: 'deregister' }
  | { name: 'leaveBehind' }
  | { name: 'withdrawSecret' }
  | { name: 'releaseClaim' }
  | { name: 'releaseClientId' }
  | { name: 'destroyKeys' }
  | { name: 'forgetRecord' }
  | { name: 'removeFinalizer' };

export type ClientView = View<Observed, Desired>;
export type ClientFinding = Finding<ClientStep>;

export const Condition = {
  certificate: 'CertificateReady',
  registered: 'Registered',
  proved: 'Proved',
  terminators: 'TerminatorsReady',
  /** Of the client's users, not of the client. */
  refreshTokens: 'RefreshTokensEndAtRotation',
  /** There only while it is true. */
  caUnpinned: 'CertificateAuthorityUnpinned',
  ready: 'Ready',
  reconciling: 'Reconciling',
  stalled: 'Stalled',
} as const;

/** The platform does not grant it, or no longer. */
export const NOT_GRANTED = 'NotGranted';

/** Somebody else writes the published Secret again and again. */
export const SECRET_REVERTED = 'SecretReverted';
/** Somebody else changes the registration at the server again and again. */
export const REGISTRATION_REVERTED = 'RegistrationReverted';

/** The registration can't follow the spec; what is published works as it was registered. */
export const UPDATE_UNSUPPORTED = 'UpdateUnsupported';

/** A finding that only somebody else can put right; later checks make no sense before. */
export const stuck = (condition: string, reason: string, message: string): ClientFinding => ({
  condition,
  status: 'False',
  reason,
  message,
  blocks: true,
});

/** A finding that passes by itself. */
export const waiting = (condition: string, reason: string, message: string, at?: number): ClientFinding => ({
  condition,
  status: 'Unknown',
  reason,
  message,
  blocks: true,
  ...(at === undefined ? {} : { at }),
});

/** A finding that the step puts right. */
export const act = (
  condition: string,
  reason: string,
  message: string,
  step: ClientStep,
  basis = '',
): ClientFinding => ({ condition, status: 'Unknown', reason, message, step, basis });
