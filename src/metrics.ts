import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from './telemetry.ts';

// controller-runtime's buckets, so that its dashboards and alerts fit.
const reconcileBuckets = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2,
  2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
const queueBuckets = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000];
/** Up to the deadline of a call. */
const serverCallBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const waitBuckets = [0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20];

/** Metrics with the names and labels of controller-runtime and client-go, and beside them our own, `certbound_…`. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the Kubernetes API server, by status code, method and host.',
    labelNames: ['code', 'method', 'host'],
    registers: [registry],
  });
  return {
    registry,
    requests: { request: (method, host, code) => requests.inc({ method, host, code }) },
    controller: controllerMetrics(registry),
    workQueue: workQueueMetrics(registry),
    informer: informerMetrics(registry),
    leaderElection: leaderElectionMetrics(registry),
    serverCalls: serverCallMetrics(registry),
    clients: clientMetrics(registry),
    terminatorProofs: terminatorProofMetrics(registry),
  };
}

function controllerMetrics(registry: Registry): Metrics['controller'] {
  const common = { labelNames: ['controller'], registers: [registry] };
  const total = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciliations per controller and result.',
    labelNames: ['controller', 'result'],
    registers: [registry],
  });
  const errors = new Counter({
    ...common,
    name: 'controller_runtime_reconcile_errors_total',
    help: 'Failed reconciliations.',
  });
  const terminal = new Counter({
    ...common,
    name: 'controller_runtime_terminal_reconcile_errors_total',
    help: 'Reconciliations that failed and are not retried.',
  });
  const panics = new Counter({
    ...common,
    name: 'controller_runtime_reconcile_panics_total',
    help: 'Unexpected exceptions.',
  });
  const timeouts = new Counter({
    ...common,
    name: 'controller_runtime_reconcile_timeouts_total',
    help: 'Reconciliations that reached their deadline.',
  });
  const seconds = new Histogram({
    ...common,
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Duration of a reconciliation.',
    buckets: reconcileBuckets,
  });
  const active = new Gauge({
    ...common,
    name: 'controller_runtime_active_workers',
    help: 'Workers that reconcile now.',
  });
  const maximum = new Gauge({
    ...common,
    name: 'controller_runtime_max_concurrent_reconciles',
    help: 'Workers per controller.',
  });
  return (controller, maxConcurrent) => {
    maximum.set({ controller }, maxConcurrent);
    active.set({ controller }, 0);
    for (const result of ['success', 'error', 'requeue_after']) total.inc({ controller, result }, 0);
    for (const counter of [errors, terminal, panics, timeouts]) counter.inc({ controller }, 0);
    return {
      started: () => active.inc({ controller }),
      finished: (result, duration) => {
        active.dec({ controller });
        total.inc({ controller, result });
        if (result === 'error') errors.inc({ controller });
        seconds.observe({ controller }, duration);
      },
      terminalError: () => terminal.inc({ controller }),
      panic: () => panics.inc({ controller }),
      timeout: () => timeouts.inc({ controller }),
    };
  };
}

/** client-go's label and controller-runtime's, which dashboards use in turn. */
function labels(name: string): { name: string; controller: string } {
  return { name, controller: name };
}

function workQueueMetrics(registry: Registry): Metrics['workQueue'] {
  const common = { labelNames: ['name', 'controller'], registers: [registry] };
  const running = new Map<string, () => readonly number[]>();
  const depth = new Gauge({ ...common, name: 'workqueue_depth', help: 'Keys that wait for a worker.' });
  const adds = new Counter({ ...common, name: 'workqueue_adds_total', help: 'Keys added.' });
  const retries = new Counter({
    ...common,
    name: 'workqueue_retries_total',
    help: 'Keys added again after a failure.',
  });
  const waited = new Histogram({
    ...common,
    name: 'workqueue_queue_duration_seconds',
    help: 'How long a key waits for a worker.',
    buckets: queueBuckets,
  });
  const worked = new Histogram({
    ...common,
    name: 'workqueue_work_duration_seconds',
    help: 'How long a key is worked on.',
    buckets: queueBuckets,
  });
  const gauge = (name: string, help: string, reduce: (seconds: readonly number[]) => number): Gauge =>
    new Gauge({
      ...common,
      name,
      help,
      collect() {
        for (const [queue, seconds] of running) this.set(labels(queue), reduce(seconds()));
      },
    });
  gauge('workqueue_unfinished_work_seconds', 'Work in progress, summed up.', (all) =>
    all.reduce((sum, one) => sum + one, 0),
  );
  gauge('workqueue_longest_running_processor_seconds', 'The longest work in progress.', (all) => Math.max(0, ...all));
  return (name) => {
    adds.inc(labels(name), 0);
    retries.inc(labels(name), 0);
    return {
      depth: (value) => depth.set(labels(name), value),
      added: () => adds.inc(labels(name)),
      taken: (seconds) => waited.observe(labels(name), seconds),
      worked: (seconds) => worked.observe(labels(name), seconds),
      retried: () => retries.inc(labels(name)),
      observeRunning: (read) => running.set(name, read),
    };
  };
}

function leaderElectionMetrics(registry: Registry): Metrics['leaderElection'] {
  const status = new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this replica holds the Lease of that name.',
    labelNames: ['name'],
    registers: [registry],
  });
  return (name) => ({ leading: (value) => status.set({ name }, value ? 1 : 0) });
}

/** The duration has no outcome among its labels: it would have a dozen series for each outcome. */
function serverCallMetrics(registry: Registry): Metrics['serverCalls'] {
  const calls = new Counter({
    name: 'certbound_authorizationserver_requests_total',
    help: 'Requests to an authorization server, by operation and by the class of the answer or why there was none.',
    labelNames: ['authorization_server', 'operation', 'outcome'],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'certbound_authorizationserver_request_duration_seconds',
    help: 'Duration of a request to an authorization server, from the first packet to the last byte or the end of waiting.',
    labelNames: ['authorization_server', 'operation'],
    buckets: serverCallBuckets,
    registers: [registry],
  });
  const proofs = new Counter({
    name: 'certbound_certificate_proofs_total',
    help: 'Certificates tried at an authorization server, by what came of it.',
    labelNames: ['authorization_server', 'outcome'],
    registers: [registry],
  });
  const common = { labelNames: ['authorization_server'], registers: [registry] };
  const waits = new Histogram({
    ...common,
    name: 'certbound_authorizationserver_request_wait_seconds',
    help: 'How long requests waited for spec.rateLimit; those that did not are not counted.',
    buckets: waitBuckets,
  });
  const availability = new Gauge({
    ...common,
    name: 'certbound_authorizationserver_available',
    help: '0 while one of its origins does not answer, so that nothing is sent there but one request now and then.',
  });
  const restored = new Counter({
    name: 'certbound_registration_members_restored_total',
    help: 'Members of registrations that somebody else changed at an authorization server and that were put back.',
    labelNames: ['authorization_server', 'member'],
    registers: [registry],
  });
  return {
    call: (server, operation, outcome, duration) => {
      calls.inc({ authorization_server: server, operation, outcome });
      seconds.observe({ authorization_server: server, operation }, duration);
    },
    proof: (server, outcome) => proofs.inc({ authorization_server: server, outcome }),
    waited: (server, duration) => waits.observe({ authorization_server: server }, duration),
    available: (server, value) => availability.set({ authorization_server: server }, value ? 1 : 0),
    forgotten: (server) => availability.remove({ authorization_server: server }),
    restored: (server, member) => restored.inc({ authorization_server: server, member }),
  };
}

function clientMetrics(registry: Registry): Metrics['clients'] {
  const leftBehind = new Counter({
    name: 'certbound_oauthclients_left_behind_total',
    help: 'Registrations that outlive their OAuthClients, by why.',
    labelNames: ['authorization_server', 'cause'],
    registers: [registry],
  });
  return { leftBehind: (server, cause) => leftBehind.inc({ authorization_server: server, cause }) };
}

function terminatorProofMetrics(registry: Registry): Metrics['terminatorProofs'] {
  const rounds = new Counter({
    name: 'certbound_terminator_proofs_total',
    help: 'Hosts asked at their terminators, by what came of it.',
    labelNames: ['controller', 'outcome'],
    registers: [registry],
  });
  return { round: (controller, outcome) => rounds.inc({ controller, outcome }) };
}

function informerMetrics(registry: Registry): Metrics['informer'] {
  const common = { labelNames: ['resource'], registers: [registry] };
  const states = new Gauge({
    name: 'certbound_informer_state',
    help: '1 for the state that the list and watch of a resource is in.',
    labelNames: ['resource', 'state'],
    registers: [registry],
  });
  const objects = new Gauge({ ...common, name: 'certbound_informer_objects', help: 'Objects held.' });
  const activity = new Gauge({
    ...common,
    name: 'certbound_informer_last_activity_timestamp_seconds',
    help: 'When the API server was last heard.',
  });
  const lists = new Counter({ ...common, name: 'certbound_informer_lists_total', help: 'Lists begun.' });
  const available = new Gauge({
    ...common,
    name: 'certbound_informer_available',
    help: '0 while the API server does not know the resource.',
  });
  return (resource) => {
    let last: string | undefined;
    available.set({ resource }, 1);
    return {
      state: (state) => {
        if (last !== undefined) states.set({ resource, state: last }, 0);
        states.set({ resource, state }, 1);
        last = state;
      },
      objects: (count) => objects.set({ resource }, count),
      activity: (epochMs) => activity.set({ resource }, epochMs / 1000),
      relisted: () => lists.inc({ resource }),
      available: (value) => available.set({ resource }, value ? 1 : 0),
    };
  };
}
