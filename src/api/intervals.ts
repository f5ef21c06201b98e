/** Times of an AuthorizationServer with their defaults, in milliseconds. */
import type { AuthorizationServer } from './authorization-server.ts';
import { durationMs } from './duration.ts';

type Server = Pick<AuthorizationServer, 'spec'> | undefined;

/** How long terminators may take to load what they were told. */
export function propagationMs(server: Server): number {
  return durationMs(server?.spec.propagation ?? '60s');
}

/** How often what is in use is proved again. */
export function verifyIntervalMs(server: Server): number {
  return durationMs(server?.spec.verifyInterval ?? '6h');
}
