import { OperatorError } from '../../errors.ts';
import type { HeldBack } from '../../runtime/pass.ts';
import type { ServerConnection } from './connection.ts';

/** A step that would ask there is not tried while nothing would be sent. */
export function heldAt(connection: Pick<ServerConnection, 'hold'>, url: string, key?: string): HeldBack | undefined {
  const hold = connection.hold(url, key);
  return hold && { error: new OperatorError('ServerUnavailable', hold.message), at: hold.at };
}
