/**
 * The operator's ServiceAccount as the chart grants it: RBAC and admission policies. Rendered files are kept beside this
 * one, so that a demo needs no Helm; `node hack/generate-rights.ts` writes them and a test of the chart compares them.
 */
import { rename, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { KubeClient } from '../../src/kube/client.ts';
import { namespaces, type KubernetesObject } from '../../src/kube/resource.ts';
import { apply, documents, namespace } from './cluster-objects.ts';
import type { ControlPlane } from './control-plane.ts';
import { call } from './https-call.ts';

export const SERVICE_ACCOUNT = { namespace: 'certbound-system', name: 'certbound' };
export const SERVICE_ACCOUNT_USER = `system:serviceaccount:${SERVICE_ACCOUNT.namespace}:${SERVICE_ACCOUNT.name}`;
/** Stands for each served namespace in the file of the scoped mode. */
export const SERVED_PLACEHOLDER = 'served-namespace';

export type RightsMode = 'cluster' | 'scoped';

const kinds = new Set([
  'ServiceAccount',
  'Role',
  'RoleBinding',
  'ClusterRole',
  'ClusterRoleBinding',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
]);

/** Whether it is about what the operator may do. */
export function isRight({ kind = '' }: KubernetesObject): boolean {
  return kinds.has(kind);
}

export function rightsFile(mode: RightsMode): string {
  return resolve(import.meta.dirname, `operator-rights/${mode}.yaml`);
}

/** @param scope the served namespaces; empty: all */
export async function operatorRights(scope: readonly string[]): Promise<KubernetesObject[]> {
  const objects = await documents(rightsFile(scope.length === 0 ? 'cluster' : 'scoped'));
  return objects.flatMap((object) =>
    object.metadata.namespace === SERVED_PLACEHOLDER
      ? scope.map((served) => ({ ...object, metadata: { ...object.metadata, namespace: served } }))
      : [object],
  );
}

/** Where a client of the API server finds it, and what it trusts there. */
export interface ApiEndpoint {
  url: string;
  caPem: string;
}

/**
 * Grants them; namespaces that are missing are made. Returns the path of a kubeconfig that authenticates as the
 * ServiceAccount, by a token of the TokenRequest API, as a Pod has one.
 *
 * @param endpoint default: the API server itself
 */
export async function grantOperatorRights(
  plane: ControlPlane,
  kube: KubeClient,
  scope: readonly string[] = [],
  endpoint: ApiEndpoint = plane,
): Promise<string> {
  for (const name of [SERVICE_ACCOUNT.namespace, ...scope]) {
    if ((await kube.get(namespaces, { name })) === undefined) await apply(kube, namespace(name));
  }
  await apply(kube, ...(await operatorRights(scope)));
  const path = resolve(plane.dir, 'operator.kubeconfig');
  await writeOperatorKubeconfig(path, endpoint, { token: await requestToken(plane) });
  return path;
}

/** @param user as kubeconfig has it: `token`, `tokenFile`, `client-certificate`, ... */
export async function writeOperatorKubeconfig(
  path: string,
  { url, caPem }: ApiEndpoint,
  user: Readonly<Record<string, string>>,
): Promise<void> {
  const { name } = SERVICE_ACCOUNT;
  const cluster = { server: url, 'certificate-authority-data': Buffer.from(caPem).toString('base64') };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'certbound',
    clusters: [{ name: 'certbound', cluster }],
    contexts: [{ name: 'certbound', context: { cluster: 'certbound', user: name } }],
    users: [{ name, user }],
  };
  // In one step, as kubelet does it: nobody reads half of it.
  await writeFile(`${path}.new`, JSON.stringify(config, undefined, 2), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

const adminConfig = z.object({
  users: z.tuple([
    z.object({ user: z.object({ 'client-certificate-data': z.string(), 'client-key-data': z.string() }) }),
  ]),
});
const tokenRequest = z.object({ status: z.object({ token: z.string() }) });

const decoded = (data: string) => Buffer.from(data, 'base64').toString();

/** The token goes with it: without it the API server refuses the token, as one that has expired. */
export interface TokenHolder {
  kind: 'Pod' | 'Secret';
  name: string;
  uid: string;
}

/** The TokenRequest API, without kubectl: a newcomer's first demo would have to build it. */
export async function requestToken(plane: ControlPlane, boundTo?: TokenHolder): Promise<string> {
  const [{ user }] = adminConfig.parse(JSON.parse(plane.kubeconfig)).users;
  const { namespace: own, name } = SERVICE_ACCOUNT;
  const answer = await call({
    url: `${plane.url.replace('127.0.0.1', 'localhost')}/api/v1/namespaces/${own}/serviceaccounts/${name}/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        expirationSeconds: 86_400,
        ...(boundTo === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', ...boundTo } }),
      },
    },
    ca: plane.caPem,
    certificate: {
      certPem: decoded(user['client-certificate-data']),
      keyPem: decoded(user['client-key-data']),
    },
  });
  if (answer.status !== 201) throw new Error(`no token for the operator: ${answer.status} ${answer.text}`);
  return tokenRequest.parse(answer.json).status.token;
}
