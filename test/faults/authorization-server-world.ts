/** One installation whose operator reaches the authorization server through proxies that do wrong when told to. */
import { authorizationServers } from '../../src/api/resources.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { Installation } from '../support/installation.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { SELF_SIGNED_SERVER } from '../support/self-signed-platform.ts';
import { startServerProxy, type ServerProxy } from '../support/server-proxy.ts';
import { startTcpRelay, type TcpRelay } from '../support/tcp-relay.ts';
import { startFaultWorld, type FaultWorld } from './world.ts';

const TERMINATOR = '127.0.0.1';
/** One each, so that what is wrong with one server is not wrong with the other. */
const ADDRESSES = { corporate: '127.0.0.2', selfSigned: '127.0.0.4', mtls: '127.0.0.3' };

export interface ServerFaultWorld extends FaultWorld {
  /** Before the browser's host, for the clients of each AuthorizationServer. */
  readonly corporate: ServerProxy;
  readonly selfSigned: ServerProxy;
  /** Before the hosts that ask for client certificates: bytes, for TLS must end at the terminator. */
  readonly mtls: TcpRelay;
  /** Whether the server replaces a registration access token on update. Default not: then no answer that is lost loses it. */
  rotatesTokens: boolean;
}

function throughProxies(object: KubernetesObject): KubernetesObject {
  if (object.kind !== authorizationServers.kind) return object;
  const browser = object.metadata.name === SELF_SIGNED_SERVER ? ADDRESSES.selfSigned : ADDRESSES.corporate;
  const connectTo = [
    { host: HOSTS.browser, addresses: [browser] },
    { host: HOSTS.mtls, addresses: [ADDRESSES.mtls] },
    { host: HOSTS.selfSigned, addresses: [ADDRESSES.mtls] },
  ];
  return { ...object, spec: { ...Object(object['spec']), connectTo } };
}

interface Proxies {
  corporate: ServerProxy;
  selfSigned: ServerProxy;
  mtls: TcpRelay;
}

async function startProxies({ serverCa, httpsPort: port }: Installation): Promise<Proxies> {
  const certificate = await serverCa.issue({ cn: 'proxy', dns: [HOSTS.browser] });
  const before = (address: string) =>
    startServerProxy({ address, port, certificate, target: TERMINATOR, targetCaPem: serverCa.certPem });
  return {
    corporate: await before(ADDRESSES.corporate),
    selfSigned: await before(ADDRESSES.selfSigned),
    mtls: await startTcpRelay({ address: ADDRESSES.mtls, port, target: TERMINATOR }),
  };
}

export async function startServerFaultWorld(): Promise<ServerFaultWorld> {
  let rotatesTokens = false;
  let proxies: Proxies | undefined;
  const world = await startFaultWorld({
    installation: { rotateRegistrationAccessToken: () => rotatesTokens },
    clients: { recovery: 'Recreate' },
    edit: throughProxies,
    async startOperator(installation) {
      proxies = await startProxies(installation);
      return () => installation.startOperator();
    },
  });
  if (proxies === undefined) throw new Error('no proxies');
  const { corporate, selfSigned, mtls } = proxies;
  const installation = {
    ...world.installation,
    async stop() {
      await world.installation.stop();
      for (const proxy of [corporate, selfSigned, mtls]) await proxy.stop();
    },
  };
  return {
    ...world,
    installation,
    corporate,
    selfSigned,
    mtls,
    get rotatesTokens() {
      return rotatesTokens;
    },
    set rotatesTokens(value) {
      rotatesTokens = value;
    },
  };
}
