/** Objects of a terminator's own kinds that its frontends' settings name: how they are written, and what is kept of them. */
import { z } from 'zod';
import { OPT_IN, Role, ROLE_LABEL } from '../api/annotations.ts';
import { objectMeta } from '../api/metadata.ts';
import { OPERATOR_FIELD_MANAGER, lastOtherWriter } from '../kube/field-managers.ts';
import { apiVersionOf, type KubernetesObject, type Resource } from '../kube/resource.ts';
import type { Companion } from './driver.ts';
import { canonicalJson } from './settings.ts';
import { type Scope, scopeAnnotations, scopeOfAnnotations } from './scope.ts';

export const COMPANION_SELECTOR = `${ROLE_LABEL}=${Role.terminator}`;

export interface CompanionProjection {
  resource: Resource;
  namespace: string;
  name: string;
  uid: string;
  resourceVersion: string;
  /** By the annotations that we wrote; undefined where they are missing. */
  scope: Scope | undefined;
  server: string | undefined;
  /** Canonical JSON. */
  spec: string;
  /** Why the product does not act on it, by its own status; undefined where it says nothing of the kind. */
  rejected: string | undefined;
  /** The field manager that wrote last, other than the operator's own. */
  lastWriter: string | undefined;
  deleting: boolean;
}

const condition = z.object({
  type: z.string().default(''),
  status: z.string().default(''),
  message: z.string().default(''),
  observedGeneration: z.number().optional(),
});
/** A Gateway API policy's status (GEP-713). */
const status = z
  .object({ ancestors: z.array(z.object({ conditions: z.array(condition).default([]) })).default([]) })
  .catch({ ancestors: [] })
  .prefault({});

const schema = z.object({
  metadata: objectMeta.extend({ namespace: z.string() }),
  spec: z.unknown(),
  status,
});

/** Undefined for an object without our label. */
export const projectCompanion =
  (resource: Resource) =>
  (object: KubernetesObject): CompanionProjection | undefined => {
    const { metadata, spec, status: said } = schema.parse(object);
    if (metadata.labels[ROLE_LABEL] !== Role.terminator) return undefined;
    const { generation } = object.metadata;
    const refusal = said.ancestors
      .flatMap(({ conditions }) => conditions)
      .find(
        ({ type, status: value, observedGeneration }) =>
          // Accepted for the Gateway, a policy may still give way on the listeners that have one of their own.
          ((type === 'Accepted' && value === 'False') || (type === 'Overridden' && value === 'True')) &&
          (observedGeneration ?? generation) === generation,
      );
    return {
      resource,
      namespace: metadata.namespace,
      name: metadata.name,
      uid: metadata.uid,
      resourceVersion: metadata.resourceVersion,
      scope: scopeOfAnnotations(metadata.annotations),
      server: metadata.annotations[OPT_IN],
      spec: canonicalJson(spec ?? {}),
      rejected: refusal?.message,
      lastWriter: lastOtherWriter(
        object.metadata.managedFields ?? [],
        ({ manager }) => manager === OPERATOR_FIELD_MANAGER,
      ),
      deleting: metadata.deletionTimestamp !== undefined,
    };
  };

/** The object as it is to be; `uid` and `resourceVersion` where it replaces one. */
export function companionObject(
  { resource, name, spec }: Companion,
  { namespace, scope, server }: { namespace: string; scope: Scope; server: string },
  current?: Pick<CompanionProjection, 'uid' | 'resourceVersion'>,
): KubernetesObject {
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    metadata: {
      namespace,
      name,
      ...(current === undefined ? {} : { uid: current.uid, resourceVersion: current.resourceVersion }),
      labels: { [ROLE_LABEL]: Role.terminator },
      annotations: { ...scopeAnnotations(scope), [OPT_IN]: server },
    },
    spec,
  };
}
