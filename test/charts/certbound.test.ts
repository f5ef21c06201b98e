/** charts/certbound as Helm renders it. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { readConfig } from '../../src/config.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { drivers } from '../../src/terminator/registry.ts';
import { CHART, helm, rendered, renderedRights, template, type Values } from '../support/chart.ts';
import { documents } from '../support/cluster-objects.ts';
import { rightsFile } from '../support/operator-rights.ts';
import { CLUSTER, variants } from './variants.ts';

const root = resolve(CHART, '../..');
const render = (values: Values = {}) => rendered({ ...CLUSTER, ...values });
const ofKind = (objects: readonly KubernetesObject[], kind: string) => objects.filter((object) => object.kind === kind);

const deploymentSchema = z.object({
  spec: z.object({
    template: z.object({
      spec: z.looseObject({
        serviceAccountName: z.string(),
        containers: z.tuple([
          z.looseObject({
            image: z.string(),
            env: z.array(
              z.union([
                z.strictObject({ name: z.string(), value: z.string() }),
                z.strictObject({
                  name: z.string(),
                  valueFrom: z.strictObject({ fieldRef: z.strictObject({ fieldPath: z.string() }) }),
                }),
              ]),
            ),
          }),
        ]),
      }),
    }),
  }),
});
async function pod(values: Values = {}) {
  const [deployment] = ofKind(await render(values), 'Deployment');
  const { template: pods } = deploymentSchema.parse(deployment).spec;
  const [container] = pods.spec.containers;
  return { spec: pods.spec, container };
}

const egressSchema = z.object({
  spec: z.object({ egress: z.array(z.object({ ports: z.array(z.object({ port: z.number() })) })) }),
});

const ruleSchema = z.object({
  rules: z.array(
    z.object({ apiGroups: z.array(z.string()), resources: z.array(z.string()), verbs: z.array(z.string()) }),
  ),
});

const leaseRuleSchema = z.object({
  rules: z.array(
    z.object({
      resources: z.array(z.string()),
      verbs: z.array(z.string()),
      resourceNames: z.array(z.string()).optional(),
    }),
  ),
});

function specs(objects: readonly KubernetesObject[]): Record<string, unknown> {
  return Object.fromEntries(objects.map((object) => [object.metadata.name, object['spec']]));
}

async function refused(values: Values): Promise<string> {
  const { ok, text } = await template(values);
  assert.equal(ok, false, 'helm took it');
  return text;
}

describe('values of the chart', () => {
  for (const [name, values] of Object.entries(variants)) {
    it(`render: ${name}`, async () => {
      const objects = await render(values);
      assert.equal(ofKind(objects, 'Deployment').length, 1);
      assert.deepEqual(await render(values), objects, 'the same every time');
    });
  }

  it('need a clusterId, and say why', async () => {
    assert.match(await refused({}), /clusterId: name this cluster, for example --set clusterId=.*survive a rebuild/);
    assert.match(await refused({ clusterId: 'Prod_1' }), /clusterId/);
  });

  const typos: [string, Values, RegExp][] = [
    ['an unknown key', { replicaCont: 3 }, /replicaCont/],
    ['an unknown key further down', { image: { tagg: 'x' } }, /tagg/],
    ['an unknown mode', { scope: { namespace: 'payments' } }, /scope/],
    ['no list', { scope: { namespaces: 'payments' } }, /namespaces/],
    ['no name of a namespace', { scope: { namespaces: ['*'] } }, /namespaces/],
    ['an unknown level', { logLevel: 'loud' }, /logLevel/],
    ['text for a number', { workers: 'many' }, /workers/],
    ['half a digest', { image: { digest: 'sha256:12' } }, /digest/],
    ['a privileged port', { metrics: { port: 80 } }, /port/],
    ['text for a switch', { crds: { keep: 'always' } }, /keep/],
  ];
  for (const [name, values, named] of typos) {
    it(`are refused: ${name}`, async () => assert.match(await refused({ ...CLUSTER, ...values }), named));
  }

  it('name a ServiceAccount where none is made', async () => {
    assert.match(await refused({ ...CLUSTER, serviceAccount: { create: false } }), /serviceAccount\.name/);
  });

  it('are all in the schema, and the schema names no others', async () => {
    const node = z.object({ properties: z.record(z.string(), z.json()).optional() });
    const compare = (values: unknown, schema: unknown, path: string): void => {
      const { properties } = node.parse(schema);
      if (properties === undefined) return;
      const { global: _parents, ...own } = properties;
      const given: Record<string, unknown> = Object(values);
      assert.deepEqual(Object.keys(given).toSorted(), Object.keys(own).toSorted(), path);
      for (const [key, value] of Object.entries(own)) compare(given[key], value, `${path}.${key}`);
    };
    const [values, schema] = await Promise.all(
      ['values.yaml', 'values.schema.json'].map((file) => readFile(join(CHART, file), 'utf8')),
    );
    compare(parse(values ?? ''), JSON.parse(schema ?? ''), 'values');
  });

  it('name where terminators are asked, and let the operator out to there', async () => {
    const addresses = { 'k8s.io/ingress-nginx': ['ingress-nginx.svc:443', '[2001:db8::1]:10443'] };
    const values = { terminators: { addresses } };
    const { container } = await pod(values);
    const env = Object.fromEntries(container.env.map((e) => [e.name, 'value' in e ? e.value : 'a field']));
    const { terminatorAddresses } = readConfig({ ...env, CERTBOUND_POD_NAME: undefined });
    assert.deepEqual(
      [...terminatorAddresses],
      [
        [
          'k8s.io/ingress-nginx',
          [
            { host: 'ingress-nginx.svc', port: 443 },
            { host: '2001:db8::1', port: 10443 },
          ],
        ],
      ],
    );
    const ports = async (of: Values) => {
      const [policy] = ofKind(await render(of), 'NetworkPolicy');
      const { egress } = egressSchema.parse(policy).spec;
      return egress.flatMap((rule) => rule.ports.map(({ port }) => port));
    };
    assert.deepEqual(await ports({}), [53, 53, 443, 6443, 8443]);
    assert.deepEqual(await ports(values), [53, 53, 443, 6443, 8443, 10443]);
    assert.match(
      await refused({ ...CLUSTER, terminators: { addresses: { 'k8s.io/ingress-nginx': ['https://x:443'] } } }),
      /addresses/,
    );
  });

  it('reach the operator', async () => {
    const { container } = await pod({ ...variants['operator'], scope: { namespaces: ['a', 'b'] } });
    const env = Object.fromEntries(
      container.env.map((e) => [e.name, 'value' in e ? e.value : e.valueFrom.fieldRef.fieldPath]),
    );
    assert.deepEqual(env, {
      CERTBOUND_CLUSTER_ID: 'prod-eu-1',
      CERTBOUND_NAMESPACE: 'certbound-system',
      CERTBOUND_WATCH_NAMESPACES: 'a,b',
      CERTBOUND_TERMINATORS: 'nginx',
      CERTBOUND_CONTROLLER_NAME: 'example.com/second',
      CERTBOUND_POD_NAME: 'metadata.name',
      CERTBOUND_LOG_LEVEL: 'debug',
      CERTBOUND_WORKERS: '4',
      CERTBOUND_HTTP_PORT: '8080',
      HTTPS_PROXY: 'http://proxy.example.com:3128',
    });
  });

  it('serve key sets where they are told to, with a certificate of theirs', async () => {
    const { container, spec } = await pod(variants['key sets']);
    const value = (name: string) => container.env.flatMap((e) => (e.name === name && 'value' in e ? [e.value] : []))[0];
    assert.equal(value('CERTBOUND_JWKS_URL'), 'https://keys.example.com/certbound');
    assert.equal(value('CERTBOUND_JWKS_PORT'), '9443');
    const directory = value('CERTBOUND_JWKS_TLS_DIRECTORY');
    assert.match(JSON.stringify(container['volumeMounts']), new RegExp(`"name":"jwks-tls","mountPath":"${directory}"`));
    assert.match(JSON.stringify(spec['volumes']), /"secretName":"keys-tls"/);
    assert.match(await refused({ ...CLUSTER, jwks: { url: 'https://keys.example.com' } }), /jwks\.tlsSecretName/);
    assert.match(await refused({ ...CLUSTER, jwks: { url: 'http://keys.example.com' } }), /jwks/);
    assert.equal(
      (await pod()).container.env.some(({ name }) => name.startsWith('CERTBOUND_JWKS')),
      false,
    );
  });

  it('the Lease it may write is the one the operator takes', async () => {
    for (const values of [{}, { controllerName: 'example.com/second' }]) {
      const roles = ofKind(await render(values), 'Role').map((role) => leaseRuleSchema.parse(role));
      const names = roles.flatMap(({ rules }) => rules.filter((rule) => rule.resources.includes('leases')));
      const { controllerName = '' } = values;
      const { leaseName } = readConfig({ CERTBOUND_CLUSTER_ID: 'a', CERTBOUND_CONTROLLER_NAME: controllerName });
      assert.deepEqual(
        names.map(({ verbs, resourceNames }) => [verbs, resourceNames]),
        [
          [['create'], undefined],
          [['get', 'watch', 'update'], [leaseName]],
        ],
      );
    }
  });

  it('name everything', async () => {
    const objects = await render(variants['names']);
    for (const { kind, metadata } of objects) {
      assert.equal(metadata.labels?.['example.com/team'], 'platform', `${kind} ${metadata.name}`);
      assert.equal(metadata.labels?.['app.kubernetes.io/name'], 'bound');
    }
    assert.equal((await pod(variants['names'])).spec.serviceAccountName, 'operator');
    const policies = JSON.stringify(ofKind(objects, 'ValidatingAdmissionPolicy'));
    assert.equal(policies.split('system:serviceaccount:certbound-system:operator').length, 3);
    const images = await Promise.all([pod(), pod({ image: { tag: 'v2' } }), pod(variants['image'])]);
    const digest = `images.example.com/certbound@sha256:${'0'.repeat(64)}`;
    assert.deepEqual(
      images.map(({ container }) => container.image),
      ['certbound:0.1.0', 'certbound:v2', digest],
    );
  });

  it('switch off what is optional', async () => {
    const objects = await render(variants['nothing optional']);
    assert.deepEqual(
      objects.map(({ kind }) => kind),
      ['Deployment'],
    );
  });

  it('add a ServiceMonitor, which needs the Service', async () => {
    const serviceMonitor = { enabled: true, interval: '15s', labels: { release: 'prometheus' } };
    const [monitor] = ofKind(await render({ metrics: { serviceMonitor } }), 'ServiceMonitor');
    assert.equal(monitor?.metadata.labels?.['release'], 'prometheus');
    assert.deepEqual(Reflect.get(Object(monitor?.['spec']), 'endpoints'), [
      { port: 'http', path: '/metrics', honorLabels: true, interval: '15s' },
    ]);
    assert.match(await refused({ ...CLUSTER, metrics: { serviceMonitor, service: { enabled: false } } }), /service/);
  });
});

describe('the chart', () => {
  it('passes helm lint', async () => {
    const { ok, text } = await helm(['lint', CHART, '--strict', '--set', 'clusterId=lint']);
    assert.ok(ok, text);
  });

  it('asks nothing of the cluster and of chance while it is rendered', () => {
    for (const file of globSync('templates/**/*', { cwd: CHART }).filter((path) => /\.(yaml|tpl|txt)$/.test(path))) {
      const text = readFileSync(join(CHART, file), 'utf8');
      assert.doesNotMatch(text, /\{\{[^}]*\b(lookup|rand\w+|gen(CA|Signed|Self|Private)\w*|now|uuidv4)\b/, file);
    }
  });

  it('has the version of the project', async () => {
    const [chart, project] = await Promise.all(
      [join(CHART, 'Chart.yaml'), join(root, 'package.json')].map(async (path) =>
        z.looseObject({ version: z.string() }).parse(parse(await readFile(path, 'utf8'))),
      ),
    );
    assert.equal(chart?.['appVersion'], project?.version);
  });

  it('brings the CRDs, kept unless asked otherwise', async () => {
    const expected = (
      await Promise.all(globSync('crds/*.yaml', { cwd: root }).map((file) => documents(join(root, file))))
    ).flat();
    const kept = ofKind(await render(), 'CustomResourceDefinition');
    assert.equal(kept.length, 3);
    assert.deepEqual(specs(kept), specs(expected));
    for (const { metadata } of kept) assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep');
    for (const { metadata } of ofKind(await render(variants['crds not kept']), 'CustomResourceDefinition')) {
      assert.equal(metadata.annotations, undefined);
    }
  });

  it('runs the operator as nobody, with nothing secret in its environment', async () => {
    const { spec, container } = await pod();
    assert.equal(spec['automountServiceAccountToken'], false);
    assert.deepEqual(spec['securityContext'], {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      fsGroup: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    assert.deepEqual(container['securityContext'], {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    // The schema above takes values and fields of the Pod alone: no Secret, no envFrom.
    assert.equal(container['envFrom'], undefined);
  });

  it('grants no wildcard, and no right on Secrets cluster-wide in scoped mode', async () => {
    for (const values of [{}, variants['scoped']]) {
      const objects = await render(values);
      for (const role of [...ofKind(objects, 'ClusterRole'), ...ofKind(objects, 'Role')]) {
        for (const { apiGroups, resources, verbs } of ruleSchema.parse(role).rules) {
          assert.ok(![...apiGroups, ...resources, ...verbs].includes('*'), role.metadata.name);
          assert.ok(!verbs.includes('deletecollection') && !verbs.includes('escalate') && !verbs.includes('bind'));
        }
      }
    }
    const scoped = await render(variants['scoped']);
    const resources = ofKind(scoped, 'ClusterRole').flatMap((role) =>
      ruleSchema.parse(role).rules.flatMap((rule) => rule.resources),
    );
    assert.deepEqual(resources.toSorted(), [
      'authorizationservers',
      'authorizationservers/status',
      'clientcertificateissuers',
      'clientcertificateissuers/status',
      'customresourcedefinitions',
      'gatewayclasses',
      'ingressclasses',
      'namespaces',
      'oauthclients',
      'oauthclients/status',
    ]);
    const where = ofKind(scoped, 'Role').map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    assert.deepEqual(where.toSorted(), [
      'accounts/certbound-served',
      'certbound-system/certbound',
      'default/certbound-events',
      'payments/certbound-served',
    ]);
    const [one, other] = ofKind(scoped, 'Role').filter(({ metadata }) => metadata.name.endsWith('-served'));
    assert.deepEqual(one?.['rules'], other?.['rules']);
  });

  it('lets the operator write the annotations of the terminators that are switched on, and no others', async () => {
    const onIngresses = drivers.filter(({ frontend, ownedKeys }) => frontend === 'Ingress' && ownedKeys.length > 0);
    for (const { name, ownedKeys } of onIngresses) {
      const objects = await render({ terminators: { enabled: [name, 'contour'] } });
      const [policy] = objects.filter(({ metadata }) => metadata.name === 'certbound-ingresses');
      const { variables } = z
        .object({ spec: z.object({ variables: z.array(z.object({ name: z.string(), expression: z.string() })) }) })
        .parse(policy).spec;
      const keys: unknown = JSON.parse(variables.find((variable) => variable.name === 'keys')?.expression ?? '');
      assert.deepEqual(keys, ownedKeys, name);
    }
  });

  for (const mode of ['cluster', 'scoped'] as const) {
    it(`is what tests and the demo grant in ${mode} mode`, async () => {
      assert.equal(
        await readFile(rightsFile(mode), 'utf8'),
        await renderedRights(mode),
        'node hack/generate-rights.ts',
      );
    });
  }
});
