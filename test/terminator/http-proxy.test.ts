import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPT_IN } from '../../src/api/annotations.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { projectHTTPProxy } from '../../src/terminator/frontends/http-proxy.ts';

const clientValidation = 'spec.virtualhost.tls.clientValidation';

function proxy(spec: unknown, metadata: Partial<KubernetesObject['metadata']> = {}): KubernetesObject {
  return {
    apiVersion: 'projectcontour.io/v1',
    kind: 'HTTPProxy',
    metadata: { namespace: 'payments', name: 'api', uid: 'u', resourceVersion: '1', ...metadata },
    spec,
    status: { conditions: [{ type: 'Valid', status: 'True' }] },
  };
}

const routes = [
  { conditions: [{ prefix: '/' }], services: [{ name: 'api', port: 80 }] },
  {
    conditions: [{ prefix: '/v2' }],
    services: [
      { name: 'api', port: 80 },
      { name: 'canary', port: 80, weight: 1 },
    ],
  },
  { requestRedirectPolicy: { statusCode: 301 } },
];

test('a root decides for one host and routes to its own namespace’s Services', () => {
  const frontend = projectHTTPProxy(
    proxy(
      { virtualhost: { fqdn: 'API.example.test', tls: { secretName: 'tls' } }, routes, ingressClassName: 'contour' },
      { annotations: { [OPT_IN]: 'corporate', 'kubernetes.io/ingress.class': 'internal' } },
    ),
  );
  assert.deepEqual(frontend.hosts, ['api.example.test']);
  assert.deepEqual(frontend.tlsHosts, ['api.example.test']);
  assert.equal(frontend.hostless, false);
  assert.equal(frontend.className, 'internal');
  assert.equal(frontend.optIn.server, 'corporate');
  assert.deepEqual(frontend.backends, [
    { host: 'api.example.test', service: 'api' },
    { host: 'api.example.test', service: 'canary' },
  ]);
  assert.equal(frontend.settings['spec.routes.permitInsecure'], 'false');
});

test('what Contour has said of an earlier generation is not said of this one', () => {
  const unobserved = (generation: number, observedGeneration?: number) => {
    const conditions = [{ type: 'Valid', status: 'True', ...(observedGeneration && { observedGeneration }) }];
    return projectHTTPProxy({ ...proxy({ routes }, { generation }), status: { conditions } }).unobserved ?? false;
  };
  assert.equal(unobserved(2, 1), true);
  assert.equal(unobserved(2, 2), false);
  assert.equal(unobserved(2), false, 'nobody says');
  const never = { currentStatus: 'NotReconciled', description: 'Waiting for controller' };
  assert.equal(projectHTTPProxy({ ...proxy({ routes }), status: never }).unobserved, undefined);
});

test('TLS that ends elsewhere is no TLS here', () => {
  const tlsHosts = (tls: unknown) => projectHTTPProxy(proxy({ virtualhost: { fqdn: 'a.test', tls } })).tlsHosts;
  assert.deepEqual(tlsHosts({ secretName: 'tls' }), ['a.test']);
  assert.deepEqual(tlsHosts(undefined), []);
  assert.deepEqual(tlsHosts({ passthrough: true }), []);
  assert.deepEqual(tlsHosts({ enableFallbackCertificate: true }), []);
});

test('a part that others include has no host, and its Services are not looked at', () => {
  const part = projectHTTPProxy(proxy({ routes }));
  assert.deepEqual([part.hosts, part.tlsHosts, part.backends, part.hostless], [[], [], [], true]);
});

test('each leaf of the client validation is a setting with owners of its own', () => {
  const fields = (leaves: Record<string, unknown>) => ({
    'f:spec': { 'f:virtualhost': { 'f:tls': { 'f:clientValidation': leaves } } },
  });
  const frontend = projectHTTPProxy(
    proxy(
      {
        virtualhost: {
          fqdn: 'a.test',
          tls: {
            secretName: 'tls',
            enableFallbackCertificate: false,
            clientValidation: {
              caSecret: 'payments/certbound-trust-1',
              optionalClientCertificate: false,
              crlSecret: 'crl',
              forwardClientCertificate: { cert: true, uri: true },
            },
          },
        },
        routes: [...routes, { permitInsecure: true, services: [{ name: 'api', port: 80 }] }],
        tcpproxy: { services: [] },
      },
      {
        managedFields: [
          {
            manager: FIELD_MANAGER,
            operation: 'Apply',
            time: '2026-01-01T00:00:00Z',
            fieldsV1: fields({ 'f:caSecret': {}, 'f:forwardClientCertificate': { 'f:cert': {} } }),
          },
          {
            manager: 'kubectl',
            operation: 'Apply',
            time: '2026-01-02T00:00:00Z',
            fieldsV1: fields({ 'f:crlSecret': {}, 'f:optionalClientCertificate': {} }),
          },
        ],
      },
    ),
  );
  assert.deepEqual(frontend.settings, {
    [`${clientValidation}.caSecret`]: '"payments/certbound-trust-1"',
    [`${clientValidation}.optionalClientCertificate`]: 'false',
    [`${clientValidation}.forwardClientCertificate.cert`]: 'true',
    'spec.virtualhost.tls.enableFallbackCertificate': 'false',
    'spec.routes.permitInsecure': 'true',
    'spec.tcpproxy': '{"services":[]}',
  });
  assert.deepEqual(frontend.ownKeys, [
    `${clientValidation}.caSecret`,
    `${clientValidation}.forwardClientCertificate.cert`,
  ]);
  assert.deepEqual(frontend.otherOwners, { [`${clientValidation}.optionalClientCertificate`]: ['kubectl'] });
  assert.equal(frontend.appliedAt, Date.parse('2026-01-01T00:00:00Z'));
  assert.equal(frontend.lastWriter, 'kubectl');
});
