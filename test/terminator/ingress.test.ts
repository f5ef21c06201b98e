import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { CLIENT_CERTIFICATES, MODE, OPT_IN } from '../../src/api/annotations.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { isOptedIn } from '../../src/terminator/frontends/frontend.ts';
import { projectIngress } from '../../src/terminator/frontends/ingress.ts';
import { parseScopeKey, scopeKey } from '../../src/terminator/scope.ts';

const secret = 'nginx.ingress.kubernetes.io/auth-tls-secret';
const backend = (name: string) => ({ service: { name, port: { number: 80 } } });
const path = (name: string) => ({ path: '/', pathType: 'Prefix', backend: backend(name) });
const metadata = { namespace: 'payments', name: 'api', uid: 'u', resourceVersion: '7' };

test('an Ingress as the cache keeps it', () => {
  const owned = { 'f:metadata': { 'f:annotations': { '.': {}, [`f:${secret}`]: {} } } };
  const projection = projectIngress({
    metadata: {
      ...metadata,
      creationTimestamp: '2026-01-01T00:00:00Z',
      annotations: { [OPT_IN]: 'corporate', [MODE]: 'report', [secret]: 'payments/x', 'example.com/large': 'dropped' },
      managedFields: [
        { manager: FIELD_MANAGER, operation: 'Apply', time: '2026-01-03T00:00:00Z', fieldsV1: owned },
        { manager: 'kubectl', operation: 'Update', time: '2026-01-02T00:00:00Z', fieldsV1: owned },
        { manager: 'argocd', operation: 'Apply', time: '2026-01-01T00:00:00Z', fieldsV1: { 'f:spec': {} } },
        { manager: 'nginx', operation: 'Update', time: '2026-01-04T00:00:00Z', subresource: 'status', fieldsV1: owned },
      ],
    },
    spec: {
      ingressClassName: 'nginx',
      defaultBackend: backend('fallback'),
      tls: [{ hosts: ['b.test', 'a.test'] }, { secretName: 'any' }],
      rules: [
        { host: 'b.test', http: { paths: [path('one'), path('two')] } },
        { host: 'a.test', http: { paths: [path('one')] } },
        { host: 'b.test' },
      ],
    },
  });
  assert.deepEqual(projection, {
    kind: 'Ingress',
    namespace: 'payments',
    name: 'api',
    uid: 'u',
    resourceVersion: '7',
    className: 'nginx',
    hosts: ['a.test', 'b.test'],
    proofHosts: ['a.test', 'b.test'],
    hostless: false,
    tlsHosts: ['a.test', 'b.test'],
    backends: [
      { host: 'b.test', service: 'one' },
      { host: 'b.test', service: 'two' },
      { host: 'a.test', service: 'one' },
      { host: 'b.test', service: 'fallback' },
      { host: 'a.test', service: 'fallback' },
    ],
    optIn: { server: 'corporate', clientCertificates: 'required', mode: 'report', invalid: undefined },
    settings: { [secret]: 'payments/x' },
    otherOwners: { [secret]: ['kubectl'] },
    ownKeys: [secret],
    appliedAt: Date.parse('2026-01-03T00:00:00Z'),
    lastWriter: 'kubectl',
    deleting: false,
    creationTimestamp: '2026-01-01T00:00:00Z',
  });
});

test('our manager’s name in another operation is not our ownership', () => {
  const fieldsV1 = { 'f:metadata': { 'f:annotations': { [`f:${secret}`]: {} } } };
  const managedFields = [{ manager: FIELD_MANAGER, operation: 'Update', fieldsV1 }];
  const projection = projectIngress({ metadata: { ...metadata, annotations: { [secret]: 'x' }, managedFields } });
  assert.deepEqual(projection.ownKeys, []);
  assert.deepEqual(projection.otherOwners, { [secret]: [FIELD_MANAGER] });
});

test('an Ingress with a default backend alone is the default server’s', () => {
  const projection = projectIngress({ metadata, spec: { defaultBackend: backend('all') } });
  assert.ok(projection.hostless);
  assert.deepEqual(projection.backends, [{ host: '', service: 'all' }]);
});

test('the class by annotation, as before IngressClass; the field wins', () => {
  const annotations = { 'kubernetes.io/ingress.class': 'old' };
  assert.equal(projectIngress({ metadata: { ...metadata, annotations } }).className, 'old');
  assert.equal(
    projectIngress({ metadata: { ...metadata, annotations }, spec: { ingressClassName: 'new' } }).className,
    'new',
  );
});

test('whatever is written into our annotations, only the exact words opt out or weaken anything', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (server, certificates, mode) => {
      const annotations = { [OPT_IN]: server, [CLIENT_CERTIFICATES]: certificates, [MODE]: mode };
      const projection = projectIngress({ metadata: { ...metadata, annotations } });
      const { optIn } = projection;
      const valid =
        ['required', 'optional', 'request'].includes(certificates) && ['manage', 'report', 'off'].includes(mode);
      assert.equal(optIn.invalid === undefined, valid && server !== '');
      if (optIn.invalid !== undefined) assert.ok(isOptedIn(projection));
      if (!isOptedIn(projection)) assert.equal(mode, 'off');
      if (optIn.clientCertificates !== 'required') assert.equal(optIn.clientCertificates, certificates);
    }),
  );
});

test('a key is its scope', () => {
  const part = fc.string().map((text) => text.replaceAll('|', ''));
  fc.assert(
    fc.property(part, fc.string(), (controller, host) => {
      assert.deepEqual(parseScopeKey(scopeKey({ controller, host })), { controller, host });
    }),
  );
});
