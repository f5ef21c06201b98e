import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from './config.ts';
import type { OperatorError } from './errors.ts';
import type { KubeClient } from './kube/client.ts';
import { Elector } from './kube/elector.ts';
import { candidateOf } from './kube/lease.ts';
import type { Clock } from './runtime/clock.ts';
import { type Fence, open } from './runtime/fence.ts';
import type { Logger, Metrics } from './telemetry.ts';

export interface LeadershipOptions {
  /** For the election alone. */
  connect: () => KubeClient;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
  onElected: () => void;
  onLost: (why: OperatorError) => void;
}

/** Whether this replica works, or another. */
export interface Leadership {
  readonly fence: Fence;
  start(): void;
  /** When all work is done: the next takes over. */
  stop(): Promise<void>;
}

export function leadershipOf(config: Config, options: LeadershipOptions): Leadership {
  const { connect, metrics, ...rest } = options;
  const { namespace, leaseName, podName } = config;
  if (!config.leaderElection) {
    return { fence: open, start: options.onElected, stop: () => Promise.resolve() };
  }
  const client = connect();
  const elector = new Elector({
    ...rest,
    client,
    namespace,
    name: leaseName,
    candidate: candidateOf(podName, hostname(), randomUUID()),
    metrics: metrics.leaderElection(leaseName),
  });
  return {
    fence: elector.fence,
    start: () => elector.start(),
    async stop() {
      await elector.stop();
      await client.close();
    },
  };
}
