/** The API server and its store, away for a while. */
import type { FaultCase } from './fault-case.ts';

const AREA = 'API server';

export const serverFaults: readonly FaultCase[] = [
  {
    name: 'restart',
    area: AREA,
    fault: 'the API server ends, and starts again after 10 s',
    outcome: 'tries again, ever more slowly but at least every 15 s; watches resume where they were',
    lastsMs: 10_000,
    async begin({ installation: { plane } }) {
      await plane.stopApiServer();
      return () => plane.startApiServer();
    },
  },
  {
    name: 'etcd',
    area: AREA,
    fault: 'etcd is killed, and starts again after 60 s',
    outcome: 'the same; calls that hang are given up after 30 s',
    lastsMs: 60_000,
    async begin({ installation: { plane } }) {
      await plane.stopEtcd();
      return () => plane.startEtcd();
    },
  },
];
