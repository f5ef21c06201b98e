import { configurable } from '../../authserver/registration/client-configuration.ts';
import type { ClientMetadata, Registration, RegistrationDriver, RegistrationHandle } from '../../authserver/driver.ts';
import { OperatorError, asOperatorError } from '../../errors.ts';
import { digestOf } from '../digest.ts';
import type { ClientRecord, RecordMaterial, RecordState } from '../record.ts';
import type { LoadedRecord } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import { accessOf, driverOf, required, serverOf, type StepContext } from './context.ts';

/** RFC 7592 §2.1. Undefined where the server shows no registration, or is not to be asked. */
export async function readRegistration(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
): Promise<Registration | undefined> {
  if (!configurable(serverOf(view), 'GET')) return undefined;
  const driver = driverOf(context, view);
  const access = accessOf(context, view, signal);
  try {
    return await withEitherToken(driver, loaded, (handle) => driver.read(access, handle));
  } catch (thrown) {
    if (asOperatorError(thrown).code === 'ReadUnsupported') return undefined;
    throw thrown;
  }
}

function handleOf({ state, material }: ClientRecord, token: string | undefined): RegistrationHandle {
  return {
    clientId: required(state.registration, 'a registration').clientId,
    registrationClientUri: material.registration?.registrationClientUri,
    registrationAccessToken: token,
    lastAnswer: material.registration?.lastAnswer ?? {},
  };
}

/**
 * A server that rotates tokens may have rolled back; the previous one is the second rung of the recovery ladder. Where a
 * credential manages the registration there is no token to lose: what is refused is the operator itself.
 */
export async function withEitherToken<T>(
  { capabilities }: RegistrationDriver,
  record: ClientRecord,
  call: (handle: RegistrationHandle) => Promise<T>,
): Promise<T> {
  const { registrationAccessToken, previousRegistrationAccessToken } = record.material.registration ?? {};
  try {
    return await call(handleOf(record, registrationAccessToken));
  } catch (thrown) {
    if (asOperatorError(thrown).code !== 'RegistrationUnauthorized' || capabilities.managedBy === 'credential')
      throw thrown;
    if (previousRegistrationAccessToken !== undefined) {
      try {
        return await call(handleOf(record, previousRegistrationAccessToken));
      } catch (again) {
        if (asOperatorError(again).code !== 'RegistrationUnauthorized') throw again;
      }
    }
    throw new OperatorError(
      'RegistrationAccessTokenLost',
      'The server no longer accepts the registration access token of this client, so its registration can’t be read or changed. ' +
        'The published certificate goes on working. Ask the platform team to look for the client at the server.',
      { cause: thrown, retry: { class: 'after', milliseconds: 10 * 60_000 } },
    );
  }
}

/**
 * P5: whether a read got another registration access token. One client finds that out for all of the server's, whose registrations
 * are then read only where that is needed.
 */
export function replacedByRead(
  context: StepContext,
  view: ClientView,
  before: RecordMaterial['registration'],
  found: RecordMaterial['registration'],
): boolean {
  const replaced = found?.registrationAccessToken !== before?.registrationAccessToken;
  if (replaced) context.comparisons.costly(serverOf(view).metadata.uid);
  return replaced;
}

export function withRegistration(
  loaded: ClientRecord,
  answer: Registration,
  asked: ClientMetadata,
  now: number,
): ClientRecord {
  const { intent: _done, rejected: _past, ...state } = loaded.state;
  return {
    state: { ...state, registration: { ...registrationState(answer, asked, now), ...habits(state.registration) } },
    material: { ...loaded.material, registration: registrationMaterial(loaded.material.registration, answer) },
  };
}

/** What was learnt of the server, whatever it answers now. */
function habits(before: RecordState['registration']): Pick<RegistrationState, 'readsRotate'> {
  return before?.readsRotate === true ? { readsRotate: true } : {};
}

type RegistrationState = NonNullable<RecordState['registration']>;

function registrationState(answer: Registration, asked: ClientMetadata, now: number): RegistrationState {
  // Of what the server adds, only other subject members decide anything (RFC 8705 §2.1.2 wants exactly one).
  const decides = (member: string) => member in asked || member.startsWith('tls_client_auth_');
  return {
    clientId: answer.clientId,
    accepted: Object.fromEntries(Object.entries(answer.metadata).filter(([member]) => decides(member))),
    askedDigest: digestOf(asked),
    updatedAt: new Date(now).toISOString(),
  };
}

/**
 * Absent in an answer means unchanged (RFC 7592 §3). A token that is replaced is kept as the previous one, and that is the one that
 * the server took: of a server that had rolled back, not the one that it had forgotten.
 */
export function registrationMaterial(
  before: RecordMaterial['registration'],
  answer: Registration,
): RecordMaterial['registration'] {
  // A server that was reached with the previous one gives it back: the newer one may be another replica's, or of a server
  // that is restored and will be back.
  const returned = answer.registrationAccessToken === before?.previousRegistrationAccessToken;
  const token = (returned ? undefined : answer.registrationAccessToken) ?? before?.registrationAccessToken;
  const rotated = token !== before?.registrationAccessToken;
  const replaced = answer.acceptedToken ?? before?.registrationAccessToken;
  const previous = rotated ? replaced : before?.previousRegistrationAccessToken;
  const uri = answer.registrationClientUri ?? before?.registrationClientUri;
  return {
    lastAnswer: answer.metadata,
    ...(uri === undefined ? {} : { registrationClientUri: uri }),
    ...(token === undefined ? {} : { registrationAccessToken: token }),
    ...(previous === undefined ? {} : { previousRegistrationAccessToken: previous }),
  };
}
