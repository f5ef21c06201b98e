import { certificateIn } from './record.ts';
import { digests, type HeldCertificate } from './published-secret.ts';
import type { ClientView } from './step.ts';

/** The operator's own Secret is older than what is published. */
export const RECORD_OUTDATED = 'RecordOutdated';

/**
 * What applications read, where it is newer than anything the record knows: the record was restored from an older copy. What it
 * has instead may have ended, or be registered no more, so that to write it would break what works (P1).
 */
export function outdatedBy({ observed: { record, published, client }, now }: ClientView): HeldCertificate | undefined {
  const state = record?.state;
  const newest = certificateIn(state, 'Published');
  const held = published?.holds;
  if (state === undefined || newest === undefined || held === undefined) return undefined;
  if (published?.ownerUid !== client.metadata.uid || state.certificates.some((c) => c.x5tS256 === held.x5tS256)) {
    return undefined;
  }
  const { client_id: clientId } = digests({ client_id: state.registration?.clientId ?? '' });
  const later = held.notBefore > Date.parse(newest.notBefore);
  const valid = held.notBefore <= now && now < held.notAfter;
  return later && valid && published.digests['client_id'] === clientId ? held : undefined;
}

/** A successor is on its way that was begun after what is published. */
export function succeeding({ observed: { record } }: ClientView, held: HeldCertificate): boolean {
  const next = certificateIn(record?.state, 'Next');
  return next !== undefined && Date.parse(next.notBefore) >= held.notBefore;
}
