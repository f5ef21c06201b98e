// `npm run operator`: a Kubernetes API server with the CRDs, and the operator from src/ against it, until Ctrl-C.
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { KubeClient } from '../src/kube/client.ts';
import { startControlPlane } from '../test/support/control-plane.ts';
import { grantOperatorRights } from '../test/support/operator-rights.ts';

const root = resolve(import.meta.dirname, '..');
const plane = await startControlPlane({ controllerManager: true, crds: [resolve(root, 'crds')] });
const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'hack', fieldManager: 'hack' });
const operatorKubeconfig = await grantOperatorRights(plane, kube);
await kube.close();
console.log(`export KUBECONFIG=${plane.kubeconfigPath}\nEdit src/ and the operator starts anew; Ctrl-C ends both.\n`);
const operator = spawn(process.execPath, ['--watch', resolve(root, 'src/main.ts'), 'operator'], {
  stdio: 'inherit',
  env: {
    ...process.env,
    KUBECONFIG: operatorKubeconfig,
    CERTBOUND_CLUSTER_ID: 'local',
    CERTBOUND_LEADER_ELECTION: 'false',
    CERTBOUND_HTTP_ADDRESS: '127.0.0.1',
    CERTBOUND_HTTP_PORT: '0',
  },
});
process.on('SIGINT', () => operator.kill('SIGTERM'));
await new Promise<void>((done) => operator.once('exit', () => done()));
await plane.stop();
