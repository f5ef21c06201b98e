// `npm run demo`: from `kubectl apply` of one OAuthClient to a certificate-bound token that a stranger can't use.
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../src/api/annotations.ts';
import type { OAuthClientStatus } from '../src/api/oauth-client.ts';
import { oauthClient } from '../src/api/oauth-client.ts';
import { oauthClients } from '../src/api/resources.ts';
import { secrets, type KubernetesObject } from '../src/kube/resource.ts';
import {
  Application,
  callApi,
  claimsOf,
  credentialsOf,
  tokenFor,
  type ClientCredentials,
} from '../test/support/application.ts';
import { apply, documents } from '../test/support/cluster-objects.ts';
import { startInstallation, type Installation } from '../test/support/installation.ts';
import type { OperatorProcess } from '../test/support/operator.ts';
import { waitFor } from '../test/support/wait-for.ts';

const examples = resolve(import.meta.dirname, '../examples');
const keep = process.argv.includes('--keep');
const started = performance.now();
const proved: string[] = [];

function say(line: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

/** One step: what must be so, and what shows it. Anything else ends the demo. */
async function step(claim: string, evidenceOf: () => Promise<string>): Promise<void> {
  const evidence = await evidenceOf();
  say(`✔ ${claim}: ${evidence}`);
  proved.push(claim);
}

function must(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}

const ref = { namespace: 'payments', name: 'payments-batch' };

async function statusOf({ kube }: Installation, name: string): Promise<OAuthClientStatus | undefined> {
  const object = await kube.get(oauthClients, { namespace: 'payments', name });
  return object === undefined ? undefined : oauthClient.parse(object).status;
}

async function ready(world: Installation, name: string): Promise<void> {
  let last = '';
  const isReady = async () => {
    const condition = (await statusOf(world, name))?.conditions?.find((c) => c.type === 'Ready');
    last = `${condition?.reason}: ${condition?.message}`;
    return condition?.status === 'True';
  };
  await waitFor(isReady, 60_000).catch((error: unknown) => {
    throw new Error(`OAuthClient ${name} did not become ready. ${last}`, { cause: error });
  });
}

async function credentials({ kube }: Installation, name: string): Promise<ClientCredentials> {
  const secret = await kube.get(secrets, { namespace: 'payments', name });
  if (secret === undefined) throw new Error(`Secret ${name} is missing`);
  return credentialsOf(secret);
}

/** A second client of the same team, with its own certificate: the thief. */
function another(client: KubernetesObject): KubernetesObject {
  return { ...client, metadata: { ...client.metadata, name: 'reports' } };
}

/** A renewal waits until every terminator must have loaded what changed; the only one here does so at once. */
function quick(object: KubernetesObject): KubernetesObject {
  if (object.kind !== 'AuthorizationServer') return object;
  return { ...object, spec: { ...Object(object['spec']), propagation: '3s' } };
}

async function show(world: Installation): Promise<void> {
  const { kube, serverCa, authorizationServer } = world;
  const api = { url: `${world.origin('api')}/accounts`, caPem: serverCa.certPem };
  await apply(kube, ...(await world.platform()).map(quick), ...(await documents(resolve(examples, 'ingresses.yaml'))));
  const [client] = await documents(resolve(examples, 'client.yaml'));
  if (client === undefined) throw new Error('examples/client.yaml is empty');
  say('$ kubectl apply -f examples/');
  await apply(kube, client, another(client));
  await Promise.all([ready(world, 'payments-batch'), ready(world, 'reports')]);
  await world.ingressController.settled();
  const own = await credentials(world, 'payments-batch-oauth');
  const thief = await credentials(world, 'reports-oauth');

  await step('Secret issued', async () => `payments-batch-oauth holds key and certificate ${own.x5tS256}`);
  await step('Client registered', async () => {
    const registered = authorizationServer.clients().find((c) => c['client_id'] === own.clientId);
    must(registered?.['token_endpoint_auth_method'] === 'tls_client_auth', 'the client is not registered as asked');
    return `client_id ${own.clientId}, tls_client_auth_subject_dn ${String(registered?.['tls_client_auth_subject_dn'])}`;
  });
  const token = await tokenFor(own);
  await step('Token over mutual TLS', async () => {
    const cnf = JSON.stringify(claimsOf(token)['cnf']);
    must(cnf.includes(own.x5tS256), `the token is not bound to the certificate: ${cnf}`);
    return `cnf ${cnf}`;
  });
  await step('API call accepted', async () => {
    const answer = await callApi({ ...api, token, certificate: own.certificate });
    must(answer.status === 200, `the API answered ${answer.status}: ${answer.text}`);
    return `${answer.status} ${answer.text.trim()}`;
  });
  const refused = async (request: Omit<Parameters<typeof callApi>[0], 'url' | 'caPem'>, statuses: number[]) => {
    const answer = await callApi({ ...api, ...request });
    must(statuses.includes(answer.status), `it was not refused but answered ${answer.status}: ${answer.text}`);
    return `${answer.status} ${answer.headers['www-authenticate']?.[0] ?? 'by the TLS terminator'}`;
  };
  await step("The same token with another client's certificate refused", () =>
    refused({ token, certificate: thief.certificate }, [401]),
  );
  await step('Without a certificate refused', () => refused({ token }, [400, 401]));
  await step('With a forged certificate header refused', () => {
    const forged = { 'ssl-client-cert': encodeURIComponent(own.certificate.certPem), 'ssl-client-verify': 'SUCCESS' };
    return refused({ token, certificate: thief.certificate, headers: forged }, [401]);
  });
  await step('Certificate renewed while calls go on, none refused', () => renew(world, api, own));
  await step('Client deleted', async () => {
    await kube.delete(oauthClients, ref);
    await waitFor(async () => (await kube.get(oauthClients, ref)) === undefined);
    must(!authorizationServer.clients().some((c) => c['client_id'] === own.clientId), 'it is still registered');
    const secret = await kube.get(secrets, { namespace: 'payments', name: 'payments-batch-oauth' });
    must(secret === undefined, 'its Secret is still there');
    return 'gone at the authorization server, and its Secret with it';
  });
}

async function renew(
  world: Installation,
  api: { url: string; caPem: string },
  before: ClientCredentials,
): Promise<string> {
  const { kube } = world;
  const application = new Application(api, () =>
    kube.get(secrets, { namespace: 'payments', name: 'payments-batch-oauth' }),
  );
  let calls = 0;
  const done = new AbortController();
  const load = (async () => {
    while (!done.signal.aborted) {
      const answer = await application.call();
      must(answer.status === 200, `call ${calls + 1} was refused: ${answer.status} ${answer.text}`);
      calls++;
      await sleep(5);
    }
  })();
  const patch = { metadata: { annotations: { [RENEW_REQUESTED]: new Date().toISOString() } } };
  const change = (async () => {
    await waitFor(() => calls > 20);
    await kube.patch(oauthClients, ref, patch, { type: 'merge' });
    await waitFor(() => application.thumbprints().length > 1, 60_000);
    const enough = calls + 20;
    await waitFor(() => calls > enough);
  })();
  await Promise.race([load, change]);
  done.abort();
  await load;
  const after = await credentials(world, 'payments-batch-oauth');
  const old = await tokenFor(before);
  must(
    (await callApi({ ...api, token: old, certificate: before.certificate })).status === 200,
    'the old one stopped working',
  );
  return `${calls} calls; now ${after.x5tS256}, and the old one still works until it is drained`;
}

console.log('Certbound demo: everything runs on this machine and is gone afterwards.\n');
let world: Installation | undefined;
let operator: OperatorProcess | undefined;
try {
  world = await startInstallation({ installNginx: false, onStarted: (part) => say(`started: ${part}`) });
  operator = await world.startOperator();
  say('started: Certbound operator');
  await show(world);
  console.log(
    `\nProved in ${Math.round((performance.now() - started) / 1000)} s:\n${proved.map((claim) => `  ✔ ${claim}`).join('\n')}`,
  );
  if (keep) await linger(world);
} catch (error) {
  console.error(`\n✘ ${error instanceof Error ? error.message : String(error)}`);
  const log = (await operator?.log())?.trimEnd().split('\n').slice(-15) ?? [];
  if (log.length > 0) console.error(`\nThe end of the operator's log:\n${log.join('\n')}`);
  process.exitCode = 1;
} finally {
  await world?.stop();
}

async function linger({ plane }: Installation): Promise<void> {
  console.log(`
Left running until Ctrl-C. To look around:
  export KUBECONFIG=${plane.kubeconfigPath}
  kubectl get oauth -A
  kubectl explain oauthclient.spec
  kubectl -n payments describe oauthclient reports
  kubectl -n payments annotate oauthclient reports certbound.dev/renew-requested="$(date)" --overwrite
  tail -f ${plane.dir}/operator.log`);
  // A pending promise alone does not keep the process.
  const alive = setInterval(() => undefined, 60_000);
  await new Promise<void>((resolveNow) => process.once('SIGINT', () => resolveNow()));
  clearInterval(alive);
}
