/** Tokens, certificates and CAs that are replaced while the operator runs. */
import { rename, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { secrets } from '../../src/kube/resource.ts';
import { apply, opaqueSecret } from '../support/cluster-objects.ts';
import { call } from '../support/https-call.ts';
import { requestToken, SERVICE_ACCOUNT, writeOperatorKubeconfig } from '../support/operator-rights.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import type { FaultCase } from './fault-case.ts';
import type { FaultWorld } from './world.ts';

const AREA = 'Credentials';

const endpointOf = ({ proxy, installation }: FaultWorld) => ({ url: proxy.url, caPem: installation.serverCa.certPem });

/** The operator starts anew with this user in its kubeconfig. */
async function startedAs(world: FaultWorld, user: Readonly<Record<string, string>>): Promise<void> {
  await world.operator.stop();
  await writeOperatorKubeconfig(world.installation.operatorKubeconfig, endpointOf(world), user);
  world.operator = await world.installation.startOperator();
}

/** As it was. */
async function restored(world: FaultWorld): Promise<void> {
  world.proxy.login(undefined);
  await startedAs(world, { token: await requestToken(world.installation.plane) });
}

interface Revocable {
  token: string;
  /** As if it had expired; resolves when the API server refuses it. It remembers for ten seconds whom it knew. */
  revoke(): Promise<void>;
}

async function revocableToken({ installation: { kube, plane } }: FaultWorld, name: string): Promise<Revocable> {
  const ref = { namespace: SERVICE_ACCOUNT.namespace, name };
  const [anchor] = await apply(kube, opaqueSecret(ref, {}));
  const token = await requestToken(plane, { kind: 'Secret', name, uid: anchor?.metadata.uid ?? '' });
  const url = `${plane.url.replace('127.0.0.1', 'localhost')}/api`;
  const asked = () => call({ url, ca: plane.caPem, headers: { authorization: `Bearer ${token}` } });
  return {
    token,
    async revoke() {
      await kube.delete(secrets, ref);
      await waitFor(async () => (await asked()).status === 401, 60_000);
    },
  };
}

/** In one step, as kubelet does it. */
async function replaceFile(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Until the API server has refused the operator. */
async function refused({ installation }: FaultWorld, since: Date): Promise<void> {
  await waitFor(async () => {
    const events = await installation.plane.auditEvents('ResponseStarted');
    return events.some(
      ({ code, userAgent, receivedAt }) => code === 401 && userAgent.startsWith('certbound/') && receivedAt >= since,
    );
  }, 60_000);
}

const lastsMs = 10_000;

function expiredToken(
  name: string,
  how: 'kubeconfig' | 'file',
): Pick<FaultCase, 'setUp' | 'begin' | 'tearDown' | 'lastsMs'> {
  let old: Revocable | undefined;
  const fileIn = ({ installation: { plane } }: FaultWorld) => resolve(plane.dir, `${name}.token`);
  const give = async (world: FaultWorld, token: string) => {
    if (how === 'file') return replaceFile(fileIn(world), token);
    return writeOperatorKubeconfig(world.installation.operatorKubeconfig, endpointOf(world), { token });
  };
  return {
    lastsMs,
    async setUp(world) {
      old = await revocableToken(world, name);
      await give(world, old.token);
      await startedAs(world, how === 'file' ? { tokenFile: fileIn(world) } : { token: old.token });
    },
    async begin(world) {
      const since = new Date();
      await old?.revoke();
      return async () => {
        await refused(world, since);
        await give(world, await requestToken(world.installation.plane));
      };
    },
    tearDown: restored,
  };
}

export const credentialFaults: readonly FaultCase[] = [
  {
    name: 'expired token',
    area: AREA,
    fault: 'the token in the kubeconfig is refused (401) for 10 s before it is replaced',
    outcome: 'reads the kubeconfig again after a 401',
    ...expiredToken('expired-token', 'kubeconfig'),
  },
  {
    name: 'token file',
    area: AREA,
    fault: 'the token in the `tokenFile` of the kubeconfig is refused (401) for 10 s before the file is replaced',
    outcome: 'reads the file again after a 401',
    ...expiredToken('token-file', 'file'),
  },
  {
    name: 'api ca',
    area: AREA,
    fault:
      'the API server shows a certificate of a new CA for 10 s before the kubeconfig has that CA; connections are reset',
    outcome: 'never trusts it before; then reads the kubeconfig again after a failed handshake',
    lastsMs: 10_000,
    async begin({ proxy, installation: { operatorKubeconfig, plane, serverCa } }) {
      const ca = await createThrowawayCa('Another API server CA');
      proxy.present(await ca.issue({ cn: 'kubernetes', ips: ['127.0.0.1'] }));
      proxy.resetConnections();
      const token = await requestToken(plane);
      return () =>
        writeOperatorKubeconfig(
          operatorKubeconfig,
          { url: proxy.url, caPem: `${serverCa.certPem}${ca.certPem}` },
          { token },
        );
    },
    async tearDown(world) {
      const { proxy, installation } = world;
      proxy.present(await installation.serverCa.issue({ cn: 'kubernetes', ips: ['127.0.0.1'] }));
      proxy.resetConnections();
      await restored(world);
    },
  },
  clientCertificate(),
];

function clientCertificate(): FaultCase {
  const pathsIn = ({ installation: { plane } }: FaultWorld) => ({
    'client-certificate': resolve(plane.dir, 'operator.crt'),
    'client-key': resolve(plane.dir, 'operator.key'),
  });
  /** From now on only certificates of this CA are let in; what replaces the files is returned. */
  const accept = async (world: FaultWorld) => {
    const ca = await createThrowawayCa('Operators');
    world.proxy.login({ caPem: ca.certPem, token: await requestToken(world.installation.plane) });
    const pair = await ca.issue({ cn: 'certbound', clientAuth: true });
    return async () => {
      const paths = pathsIn(world);
      await replaceFile(paths['client-key'], pair.keyPem);
      await replaceFile(paths['client-certificate'], pair.certPem);
    };
  };
  return {
    name: 'client certificate',
    area: AREA,
    fault: 'the client certificate in the kubeconfig’s files is refused (401) for 10 s before the files are replaced',
    outcome: 'reads the files again, and opens connections with the new certificate',
    lastsMs: 10_000,
    async setUp(world) {
      const give = await accept(world);
      await give();
      await startedAs(world, pathsIn(world));
    },
    begin: accept,
    tearDown: restored,
  };
}
