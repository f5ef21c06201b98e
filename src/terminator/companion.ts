/** Objects of a terminator's own kinds that its frontends' settings name: how they are written, and what is kept of them. */
import { z } from 'zod';
import { Role, ROLE_LABEL } from '../api/annotations.ts';
import { apiVersionOf, type KubernetesObject, type Resource } from '../kube/resource.ts';
import type { Companion } from './driver.ts';
import { madeAt, type MadeFor, madeMeta, type MadeObject, madeObject, metadataOf } from './made-object.ts';
import { canonicalJson } from './frontends/settings.ts';

export const COMPANION_SELECTOR = `${ROLE_LABEL}=${Role.terminator}`;

export interface CompanionProjection extends MadeObject {
  resource: Resource;
  /** Canonical JSON. */
  spec: string;
  /** Why the product does not act on it, by its own status; undefined where it says nothing of the kind. */
  rejected: string | undefined;
  /** When the operator wrote it last, epoch milliseconds. */
  writtenAt: number | undefined;
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
  metadata: madeMeta,
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
      ...madeObject(metadata, object.metadata),
      resource,
      spec: canonicalJson(spec ?? {}),
      rejected: refusal?.message,
      writtenAt: madeAt(object.metadata),
    };
  };

/** The object as it is to be; `uid` and `resourceVersion` where it replaces one. */
export function companionObject(
  { resource, name, spec }: Companion,
  made: MadeFor,
  current?: Pick<CompanionProjection, 'uid' | 'resourceVersion'>,
): KubernetesObject {
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    metadata: metadataOf(name, Role.terminator, made, current),
    spec,
  };
}
