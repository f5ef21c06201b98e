import { z } from 'zod';
import type { KubernetesObject } from '../kube/resource.ts';

export interface IngressClassProjection {
  name: string;
  /** `spec.controller`; '' when the class names none. */
  controller: string;
  isDefault: boolean;
}

const schema = z.object({
  metadata: z.object({ name: z.string(), annotations: z.record(z.string(), z.string()).default({}) }),
  spec: z.object({ controller: z.string().default('') }).prefault({}),
});

export function projectIngressClass(object: KubernetesObject): IngressClassProjection {
  const { metadata, spec } = schema.parse(object);
  return {
    name: metadata.name,
    controller: spec.controller,
    isDefault: metadata.annotations['ingressclass.kubernetes.io/is-default-class'] === 'true',
  };
}

/**
 * The controller of Ingresses that name no class: the default class's, if there is exactly one (the API server refuses to
 * choose among several too); else ''.
 */
export function defaultController(classes: Iterable<IngressClassProjection>): string {
  const [only, second] = [...classes].filter(({ isDefault }) => isDefault);
  return second === undefined ? (only?.controller ?? '') : '';
}
