import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from './throwaway-ca.ts';

export interface ControlPlaneFiles {
  dir: string;
  ca: ThrowawayCa;
  admin: KeyPairPem;
  controllerManager: KeyPairPem;
  path(name: string): string;
}

const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
};

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** JSON is YAML: a kubeconfig that needs no library to write and that every client reads. */
export function kubeconfigOf(url: string, caPem: string, user: string, credentials: KeyPairPem): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'certbound',
    clusters: [{ name: 'certbound', cluster: { server: url, 'certificate-authority-data': base64(caPem) } }],
    contexts: [{ name: 'certbound', context: { cluster: 'certbound', user } }],
    users: [
      {
        name: user,
        user: {
          'client-certificate-data': base64(credentials.certPem),
          'client-key-data': base64(credentials.keyPem),
        },
      },
    ],
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

/** Keys, certificates and the audit policy of one control plane, none of them depending on its ports. */
export async function writeControlPlaneFiles(dir: string): Promise<ControlPlaneFiles> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = (name: string) => join(dir, name);
  const ca = await createThrowawayCa('control-plane-ca');
  const dns = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const [server, etcdClient, admin, controllerManager] = await Promise.all([
    ca.issue({ cn: 'control-plane', dns, ips: ['127.0.0.1', '::1'] }),
    ca.issue({ cn: 'etcd-client', clientAuth: true }),
    ca.issue({ cn: 'admin', o: 'system:masters', clientAuth: true }),
    // Its own name, so that the audit log tells its requests from those of the admin.
    ca.issue({ cn: 'control-plane-controllers', o: 'system:masters', clientAuth: true }),
  ]);
  const serviceAccounts = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const contents: Record<string, string> = {
    'ca.crt': ca.certPem,
    'server.crt': server.certPem,
    'server.key': server.keyPem,
    'etcd-client.crt': etcdClient.certPem,
    'etcd-client.key': etcdClient.keyPem,
    'service-accounts.key': serviceAccounts.privateKey,
    'service-accounts.pub': serviceAccounts.publicKey,
    'audit-policy.json': JSON.stringify(AUDIT_POLICY),
    'audit.log': '',
  };
  await Promise.all(Object.entries(contents).map(([name, content]) => writeFile(path(name), content, { mode: 0o600 })));
  return { dir, ca, admin, controllerManager, path };
}

export function etcdArgs(files: ControlPlaneFiles, port: number): string[] {
  const url = `https://127.0.0.1:${port}`;
  // Of a single member nobody asks the peer port: any will do.
  const peer = 'http://127.0.0.1:0';
  return [
    '--name=default',
    `--data-dir=${files.path('etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // With client certificates of this plane's CA, an API server cannot reach the etcd of another plane by mistake.
    '--client-cert-auth',
    `--trusted-ca-file=${files.path('ca.crt')}`,
    `--cert-file=${files.path('server.crt')}`,
    `--key-file=${files.path('server.key')}`,
    '--enable-grpc-gateway=false',
    '--unsafe-no-fsync',
    '--quota-backend-bytes=1073741824',
    '--log-level=warn',
  ];
}

export function apiServerArgs(files: ControlPlaneFiles, port: number, etcdPort: number): string[] {
  return [
    `--etcd-servers=https://127.0.0.1:${etcdPort}`,
    `--etcd-cafile=${files.path('ca.crt')}`,
    `--etcd-certfile=${files.path('etcd-client.crt')}`,
    `--etcd-keyfile=${files.path('etcd-client.key')}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    // Endpoints must not be loopback addresses; without this the API server tries to write one over and over.
    '--endpoint-reconciler-type=none',
    `--secure-port=${port}`,
    `--tls-cert-file=${files.path('server.crt')}`,
    `--tls-private-key-file=${files.path('server.key')}`,
    `--client-ca-file=${files.path('ca.crt')}`,
    '--authorization-mode=RBAC',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${files.path('service-accounts.key')}`,
    `--service-account-key-file=${files.path('service-accounts.pub')}`,
    `--audit-policy-file=${files.path('audit-policy.json')}`,
    `--audit-log-path=${files.path('audit.log')}`,
    // MB; the default rotates at 100, and requests would go uncounted.
    '--audit-log-maxsize=100000',
    '--profiling=false',
  ];
}

const CONTROLLERS = [
  'namespace-controller',
  'garbage-collector-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'root-ca-certificate-publisher-controller',
  'clusterrole-aggregation-controller',
  'resourcequota-controller',
];

export function controllerManagerArgs(files: ControlPlaneFiles, kubeconfigPath: string): string[] {
  return [
    `--kubeconfig=${kubeconfigPath}`,
    `--controllers=${CONTROLLERS.join(',')}`,
    '--use-service-account-credentials=false',
    `--service-account-private-key-file=${files.path('service-accounts.key')}`,
    `--root-ca-file=${files.path('ca.crt')}`,
    '--leader-elect=false',
    // Serves nothing, so that it needs no port.
    '--secure-port=0',
    '--kube-api-qps=200',
    '--kube-api-burst=400',
    '--profiling=false',
  ];
}
