import type { Values } from '../support/chart.ts';

/** Every option of the chart at least once, besides the defaults. */
export const variants: Record<string, Values> = {
  defaults: {},
  scoped: { scope: { namespaces: ['payments', 'accounts'] } },
  names: {
    nameOverride: 'bound',
    fullnameOverride: 'oauth-certificates',
    commonLabels: { 'example.com/team': 'platform' },
    serviceAccount: { name: 'operator', annotations: { 'example.com/note': 'ours' } },
  },
  image: {
    image: { repository: 'images.example.com/certbound', digest: `sha256:${'0'.repeat(64)}`, pullPolicy: 'Always' },
    imagePullSecrets: [{ name: 'pull' }],
  },
  'every terminator': {
    terminators: { enabled: ['nginx', 'traefik', 'haproxy', 'aws-alb', 'contour', 'gateway-api', 'envoy-gateway'] },
  },
  'no terminator': { terminators: { enabled: [] } },
  scheduling: {
    replicaCount: 3,
    priorityClassName: 'system-cluster-critical',
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'dedicated', operator: 'Exists', effect: 'NoSchedule' }],
    affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
    topologySpreadConstraints: [
      { topologyKey: 'rack', maxSkew: 2, whenUnsatisfiable: 'DoNotSchedule', labelSelector: {} },
    ],
    terminationGracePeriodSeconds: 60,
    podDisruptionBudget: { maxUnavailable: '50%' },
    resources: { limits: { memory: '1Gi' } },
    podAnnotations: { 'example.com/a': 'b' },
    podLabels: { 'example.com/c': 'd' },
  },
  network: {
    networkPolicy: {
      metricsFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
      egressPorts: [443],
      extraEgress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }],
    },
    metrics: { port: 9090, service: { annotations: { 'prometheus.io/scrape': 'true' } } },
  },
  operator: {
    controllerName: 'example.com/second',
    logLevel: 'debug',
    workers: 4,
    extraArgs: [],
    extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example.com:3128' }],
    extraVolumes: [{ name: 'more', emptyDir: {} }],
    extraVolumeMounts: [{ name: 'more', mountPath: '/more' }],
  },
  terminators: {
    terminators: { enabled: ['haproxy', 'aws-alb'], manual: { controllers: ['nginx.org/ingress-controller'] } },
  },
  'by hand alone': {
    terminators: { enabled: [], manual: { controllers: ['nginx.org/ingress-controller', 'example.com/a_b/C'] } },
  },
  'nothing optional': {
    serviceAccount: { create: false, name: 'there-already' },
    rbac: { create: false },
    admissionPolicies: { enabled: false },
    crds: { enabled: false },
    podDisruptionBudget: { enabled: false },
    networkPolicy: { enabled: false },
    metrics: { service: { enabled: false } },
  },
  'key sets': {
    jwks: {
      url: 'https://keys.example.com/certbound',
      tlsSecretName: 'keys-tls',
      port: 9443,
      service: { type: 'LoadBalancer', annotations: { 'example.com/a': 'b' } },
    },
  },
  'crds not kept': { crds: { keep: false } },
};

export const CLUSTER: Values = { clusterId: 'prod-eu-1' };
