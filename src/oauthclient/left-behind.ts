import { wholeSeconds } from '../api/time.ts';
import type { RecordState } from './record.ts';

/** The schema of a condition has room for more; whoever reads it has not. */
const mostKept = 16;

export function withLeftBehind(state: RecordState, clientId: string, now: number): RecordState {
  const known = (state.leftBehind ?? []).filter((left) => left.clientId !== clientId);
  const leftBehind = [...known, { clientId, since: new Date(now).toISOString() }].slice(-mostKept);
  return { ...state, leftBehind };
}

/** For the people of the server: nothing tells the operator that they did it, so it stays said. Public. */
export function leftBehindMessage({ leftBehind = [], server }: RecordState): string | undefined {
  if (leftBehind.length === 0) return undefined;
  const each = leftBehind.map(({ clientId, since }) => `client ${clientId} since ${wholeSeconds(Date.parse(since))}`);
  return (
    `Left behind at ${server.issuer}, which deletes no registration (RFC 7592 §2.3): ${each.join(', ')}. ` +
    'Delete it there, if nobody has yet.'
  );
}
