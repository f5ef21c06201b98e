import { z } from 'zod';
import { GROUP, PRODUCT_VERSION } from '../../api/annotations.ts';
import type { KubernetesObject } from '../../kube/resource.ts';
import { parseVersion } from '../version.ts';

/** An IngressClass or a GatewayClass. */
export interface ClassProjection {
  name: string;
  /** `spec.controller`, `spec.controllerName`; '' when the class names none. */
  controller: string;
  isDefault: boolean;
  /** Ours, by which the platform says what it has seen to. */
  annotations: Readonly<Record<string, string>>;
  /** Of its product, as the platform or the product's chart says it; undefined where nobody does. */
  version: string | undefined;
}

const metadata = z.object({
  name: z.string(),
  annotations: z.record(z.string(), z.string()).default({}),
  labels: z.record(z.string(), z.string()).default({}),
});
const ingressClass = z.object({ metadata, spec: z.object({ controller: z.string().default('') }).prefault({}) });
const gatewayClass = z.object({ metadata, spec: z.object({ controllerName: z.string().default('') }).prefault({}) });

export function projectIngressClass(object: KubernetesObject): ClassProjection {
  const { metadata: meta, spec } = ingressClass.parse(object);
  return classOf(meta, spec.controller);
}

export function projectGatewayClass(object: KubernetesObject): ClassProjection {
  const { metadata: meta, spec } = gatewayClass.parse(object);
  return { ...classOf(meta, spec.controllerName), isDefault: false };
}

function classOf({ name, annotations, labels }: z.infer<typeof metadata>, controller: string): ClassProjection {
  return {
    name,
    controller,
    isDefault: annotations['ingressclass.kubernetes.io/is-default-class'] === 'true',
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith(`${GROUP}/`))),
    version: annotations[PRODUCT_VERSION] ?? labelledVersion(labels),
  };
}

/** Charts of products that label their class; of any other chart's class the version would be that chart's own. Traefik's and Envoy Gateway's don't. */
const charts: ReadonlySet<string> = new Set(['ingress-nginx', 'haproxy-ingress', 'nginx-gateway-fabric', 'kgateway']);

function labelledVersion(labels: Readonly<Record<string, string>>): string | undefined {
  const { 'app.kubernetes.io/name': chart = '', 'app.kubernetes.io/version': version = '' } = labels;
  return charts.has(chart) && parseVersion(version) !== undefined ? version : undefined;
}

/**
 * The class of Ingresses that name none: the default, if there is exactly one (the API server refuses to choose among
 * several too).
 */
export function defaultClass(classes: Iterable<ClassProjection>): ClassProjection | undefined {
  const [only, second] = [...classes].filter(({ isDefault }) => isDefault);
  return second === undefined ? only : undefined;
}
