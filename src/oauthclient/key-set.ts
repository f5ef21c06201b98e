import type { JWK } from 'jose';
import { recordName, type RecordState } from './record.ts';

type State = Pick<RecordState, 'owner' | 'keySetId'>;

/**
 * The `jwks_uri` of a client (RFC 7591 §2), below the URL at which the operator serves key sets. It changes with the attempt
 * to register: what a lost answer left at the server must never read a key that is in use (P4).
 */
export function keySetUri(base: string, state: State): string {
  return `${base.replace(/\/$/, '')}/jwks/${keySetName(state)}`;
}

function keySetName({ owner: { namespace, name }, keySetId }: State): string {
  const record = recordName(namespace, name);
  return keySetId === undefined ? record : `${record}.${keySetId}`;
}

/**
 * What is served under the name at the end of a `jwks_uri`: the key of every certificate that is stored, from the moment it
 * is staged until its key is destroyed or, compromised, has a successor. Undefined where nobody's keys are there.
 *
 * @param recordOf the state of the record of a name
 */
export function keysAt(name: string, recordOf: (record: string) => RecordState | undefined): JWK[] | undefined {
  const [record = ''] = name.split('.', 1);
  const state = recordOf(record);
  if (state?.method !== 'self_signed_tls_client_auth' || keySetName(state) !== name) return undefined;
  return state.certificates.flatMap(({ jwk, compromised }) => (jwk === undefined || compromised === true ? [] : [jwk]));
}
