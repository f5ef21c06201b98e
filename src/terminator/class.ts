import { z } from 'zod';
import type { KubernetesObject } from '../kube/resource.ts';

/** An IngressClass or a GatewayClass. */
export interface ClassProjection {
  name: string;
  /** `spec.controller`, `spec.controllerName`; '' when the class names none. */
  controller: string;
  isDefault: boolean;
}

const schema = z.object({
  metadata: z.object({ name: z.string(), annotations: z.record(z.string(), z.string()).default({}) }),
  spec: z.object({ controller: z.string().default('') }).prefault({}),
});

export function projectIngressClass(object: KubernetesObject): ClassProjection {
  const { metadata, spec } = schema.parse(object);
  return {
    name: metadata.name,
    controller: spec.controller,
    isDefault: metadata.annotations['ingressclass.kubernetes.io/is-default-class'] === 'true',
  };
}

const gatewayClass = z.object({
  metadata: z.object({ name: z.string() }),
  spec: z.object({ controllerName: z.string().default('') }).prefault({}),
});

export function projectGatewayClass(object: KubernetesObject): ClassProjection {
  const { metadata, spec } = gatewayClass.parse(object);
  return { name: metadata.name, controller: spec.controllerName, isDefault: false };
}

/**
 * The controller of Ingresses that name no class: the default class's, if there is exactly one (the API server refuses to
 * choose among several too); else ''.
 */
export function defaultController(classes: Iterable<ClassProjection>): string {
  const [only, second] = [...classes].filter(({ isDefault }) => isDefault);
  return second === undefined ? (only?.controller ?? '') : '';
}
