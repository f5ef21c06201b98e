import { configurable } from '../authserver/registration/client-configuration.ts';
import { digestOf } from './digest.ts';
import { certificateIn } from './record.ts';
import type { ClientView } from './step.ts';

/** Whether what the server holds is to be as we asked: while we are about to change it, what differs tells nothing of others. */
export function comparable({ observed, desired: { metadata } }: ClientView): boolean {
  const { record, readsRotate, reproof, server } = observed;
  const state = record?.state;
  if (state?.registration === undefined || metadata === undefined || readsRotate) return false;
  // What can't be looked at, or not be put right.
  if (!configurable(server, 'GET') || !configurable(server, 'PUT')) return false;
  // What a refusal comes from is looked into by its own step first.
  if (reproof.refusals > 0 && reproof.registration !== 'present') return false;
  if (state.intent !== undefined || certificateIn(state, 'Next') !== undefined) return false;
  return certificateIn(state, 'Published') !== undefined && state.registration.askedDigest === digestOf(metadata);
}
