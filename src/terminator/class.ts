import { z } from 'zod';
import { GROUP } from '../api/annotations.ts';
import type { KubernetesObject } from '../kube/resource.ts';

/** An IngressClass or a GatewayClass. */
export interface ClassProjection {
  name: string;
  /** `spec.controller`, `spec.controllerName`; '' when the class names none. */
  controller: string;
  isDefault: boolean;
  /** Ours, by which the platform says what it has seen to. */
  annotations: Readonly<Record<string, string>>;
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
    annotations: own(metadata.annotations),
  };
}

const own = (annotations: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith(`${GROUP}/`)));

const gatewayClass = z.object({
  metadata: z.object({ name: z.string(), annotations: z.record(z.string(), z.string()).default({}) }),
  spec: z.object({ controllerName: z.string().default('') }).prefault({}),
});

export function projectGatewayClass(object: KubernetesObject): ClassProjection {
  const { metadata, spec } = gatewayClass.parse(object);
  return {
    name: metadata.name,
    controller: spec.controllerName,
    isDefault: false,
    annotations: own(metadata.annotations),
  };
}

/**
 * The class of Ingresses that name none: the default, if there is exactly one (the API server refuses to choose among
 * several too).
 */
export function defaultClass(classes: Iterable<ClassProjection>): ClassProjection | undefined {
  const [only, second] = [...classes].filter(({ isDefault }) => isDefault);
  return second === undefined ? only : undefined;
}
