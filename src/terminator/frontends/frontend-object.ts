/** What the projections of all kinds of frontends have in common. */
import { z } from 'zod';
import { objectMeta } from '../../api/metadata.ts';
import type { FrontendKind } from '../driver.ts';
import { appliedAt, lastWriter, settingOwners } from '../field-managers.ts';
import { type Frontend, parseOptIn } from './frontend.ts';
import { driverKeys } from '../registry.ts';
import { settingsOf } from './settings.ts';

export const frontendMeta = objectMeta.extend({
  namespace: z.string(),
  managedFields: z.array(z.unknown()).default([]),
  creationTimestamp: z.string().default(''),
});

/** All but what it serves. */
export type FrontendObject = Omit<
  Frontend,
  'className' | 'hosts' | 'proofHosts' | 'hostless' | 'tlsHosts' | 'backends' | 'listeners' | 'unobserved'
>;

/** @param spec of which settings are read; absent where they are annotations alone */
export function frontendObject(
  kind: FrontendKind,
  { metadata, spec }: { metadata: z.infer<typeof frontendMeta>; spec?: unknown },
): FrontendObject {
  const { namespace, name, uid, resourceVersion, annotations, managedFields, creationTimestamp } = metadata;
  const keys = driverKeys(kind);
  const owners = settingOwners(managedFields, keys);
  return {
    kind,
    namespace,
    name,
    uid,
    resourceVersion,
    optIn: parseOptIn(annotations),
    settings: settingsOf({ metadata, spec }, keys),
    otherOwners: owners.others,
    ownKeys: owners.own,
    appliedAt: appliedAt(managedFields),
    lastWriter: lastWriter(managedFields),
    deleting: metadata.deletionTimestamp !== undefined,
    creationTimestamp,
  };
}
