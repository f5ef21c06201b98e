import type { KubernetesObject } from '../../kube/resource.ts';
import type { FrontendKind } from '../driver.ts';
import type { Frontend } from './frontend.ts';
import { projectGateway } from './gateway.ts';
import { projectHTTPProxy } from './http-proxy.ts';
import { projectIngress } from './ingress.ts';

/** What the cache keeps of each kind of frontend; undefined leaves an object out. */
export const frontendProjections: Readonly<Record<FrontendKind, (object: KubernetesObject) => Frontend | undefined>> = {
  Ingress: projectIngress,
  HTTPProxy: projectHTTPProxy,
  Gateway: projectGateway,
};
