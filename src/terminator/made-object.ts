/** What bundles and companions have in common: the operator makes them for a scope, labels them, and writes them whole. */
import { z } from 'zod';
import { OPT_IN, ROLE_LABEL } from '../api/annotations.ts';
import { objectMeta } from '../api/metadata.ts';
import { OPERATOR_FIELD_MANAGER, lastOtherWriter, lastOwnWrite } from '../kube/field-managers.ts';
import type { MadeObject as Made } from '../kube/made-by-us.ts';
import type { ManagedFieldsEntry, ObjectMeta } from '../kube/resource.ts';
import { type Scope, scopeAnnotations, scopeOfAnnotations } from './scope.ts';

/** By the annotations that we wrote; undefined where they are missing. */
export interface MadeObject extends Made {
  scope: Scope | undefined;
  server: string | undefined;
}

export const madeMeta = objectMeta.extend({ namespace: z.string() });

const isOurs = ({ manager }: ManagedFieldsEntry): boolean => manager === OPERATOR_FIELD_MANAGER;

export function madeObject(metadata: z.infer<typeof madeMeta>, { managedFields = [] }: ObjectMeta): MadeObject {
  const { namespace, name, uid, resourceVersion, annotations, deletionTimestamp } = metadata;
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    scope: scopeOfAnnotations(annotations),
    server: annotations[OPT_IN],
    lastWriter: lastOtherWriter(managedFields, isOurs),
    deleting: deletionTimestamp !== undefined,
  };
}

/** When the operator wrote it last, epoch milliseconds. */
export function madeAt({ managedFields = [] }: ObjectMeta): number | undefined {
  return lastOwnWrite(managedFields, isOurs);
}

export interface MadeFor {
  namespace: string;
  scope: Scope;
  server: string;
}

/** @param current what it replaces, if anything: then it is an update of that version alone */
export function metadataOf(
  name: string,
  role: string,
  { namespace, scope, server }: MadeFor,
  current: Pick<MadeObject, 'uid' | 'resourceVersion'> | undefined,
): ObjectMeta {
  return {
    namespace,
    name,
    ...(current === undefined ? {} : { uid: current.uid, resourceVersion: current.resourceVersion }),
    labels: { [ROLE_LABEL]: role },
    annotations: { ...scopeAnnotations(scope), [OPT_IN]: server },
  };
}
