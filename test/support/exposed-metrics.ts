import { z } from 'zod';
import { createMetrics } from '../../src/metrics.ts';
import { registerStateMetrics } from '../../src/state-metrics.ts';

const metric = z.object({ name: z.string(), help: z.string(), labelNames: z.array(z.string()) });

/** Every metric that the operator registers, with the names of its labels. */
export function exposedMetrics(): z.infer<typeof metric>[] {
  const { registry } = createMetrics();
  const none = { get: () => undefined, list: () => [] };
  const caches = { clients: none, servers: none, issuers: none, records: none, published: none, proofs: none };
  registerStateMetrics(registry, { ...caches, controllerName: '' });
  return z.array(metric).parse(registry.getMetricsAsArray());
}
