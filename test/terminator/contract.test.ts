import assert from 'node:assert/strict';
import * as hooks from 'node:test';
import { SESSIONS_ISOLATED, TRUST_STORE } from '../../src/api/annotations.ts';
import { customResourceDefinitions, type KubernetesObject, type Resource } from '../../src/kube/resource.ts';
import { awsAlb } from '../../src/terminator/drivers/aws-alb.ts';
import { CONTOUR, contour } from '../../src/terminator/drivers/contour.ts';
import type { TerminatorDriver } from '../../src/terminator/driver.ts';
import { envoyGateway } from '../../src/terminator/drivers/envoy-gateway.ts';
import { frontendResources } from '../../src/terminator/frontends/frontend.ts';
import { gatewayApi } from '../../src/terminator/drivers/gateway-api.ts';
import { projectGateway } from '../../src/terminator/frontends/gateway.ts';
import { haproxy } from '../../src/terminator/drivers/haproxy.ts';
import { manual } from '../../src/terminator/drivers/manual.ts';
import { frontendTarget, TerminatorMemory } from '../../src/terminator/memory.ts';
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { runStep, type StepContext } from '../../src/terminator/steps.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';
import { waitFor } from '../support/wait-for.ts';
import { type DriverExample, driverContract, driverWriteContract } from './contract.ts';
import { TerminatorEnvironment } from './environment.ts';

const nginxPrefix = 'nginx.ingress.kubernetes.io';
const haproxyPrefix = 'haproxy-ingress.github.io';
const albPrefix = 'alb.ingress.kubernetes.io';
const perPort = {
  'spec.tls.frontend.perPort': '[{"port":443,"tls":{}}]',
  'spec.listeners.httpsPorts': '[443]',
};

/** A new driver is one entry here. */
const contracts: readonly [TerminatorDriver, DriverExample][] = [
  [
    nginx,
    {
      controllers: ['k8s.io/ingress-nginx'],
      verifiesNothing: /"off"|optional_no_ca/,
      forwardingKeys: [`${nginxPrefix}/auth-tls-secret`, `${nginxPrefix}/auth-tls-pass-certificate-to-upstream`],
      hazards: [
        { [`${nginxPrefix}/ssl-redirect`]: 'false' },
        { [`${nginxPrefix}/ssl-passthrough`]: 'true' },
        { [`${nginxPrefix}/server-snippet`]: 'ssl_verify_client off;' },
        { [`${nginxPrefix}/configuration-snippet`]: 'proxy_set_header ssl-client-cert $http_x;' },
      ],
    },
  ],
  [
    haproxy,
    {
      controllers: ['haproxy-ingress.github.io/controller', 'haproxy-ingress.github.io/controller/staging'],
      classAnnotations: { [SESSIONS_ISOLATED]: 'true' },
      verifiesNothing: /"off"|optional_no_ca/,
      hazards: [
        { [`${haproxyPrefix}/ssl-redirect`]: 'false' },
        { 'ingress.kubernetes.io/ssl-redirect': 'no' },
        { [`${haproxyPrefix}/ssl-passthrough`]: 'true' },
        { [`${haproxyPrefix}/ssl-options-host`]: 'no-tlsv12 verify none' },
        { [`${haproxyPrefix}/ssl-options-host`]: 'ca-ignore-err all' },
        { [`${haproxyPrefix}/server-alias`]: 'other.example.test' },
        { 'ingress.kubernetes.io/server-alias-regex': '.*' },
        { 'ingress.kubernetes.io/auth-tls-verify-client': 'off' },
      ],
    },
  ],
  [
    awsAlb,
    {
      controllers: ['ingress.k8s.aws/alb'],
      settings: {
        [TRUST_STORE]: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:truststore/clients/0123456789abcdef',
        [`${albPrefix}/listen-ports`]: '[{"HTTPS": 443}, {"HTTPS": 8443}]',
      },
      verifiesNothing: /passthrough|"off"|ignoreClientCertificateExpiry/,
      forwardingKeys: [`${albPrefix}/mutual-authentication`],
      hazards: [{ [`${albPrefix}/listen-ports`]: '[{"HTTP": 80}, {"HTTPS": 443}]' }],
      namesBundle: false,
    },
  ],
  [
    traefik,
    {
      controllers: ['traefik.io/ingress-controller'],
      verifiesNothing: /RequestClientCert|RequireAnyClientCert|NoClientCert/,
      hazards: [{ 'traefik.ingress.kubernetes.io/router.tls': 'false' }],
    },
  ],
  [
    contour,
    {
      controllers: [CONTOUR],
      verifiesNothing: /skipClientCertValidation":"true"/,
      hazards: [{ 'spec.routes.permitInsecure': 'true' }],
    },
  ],
  [
    gatewayApi,
    {
      controllers: ['gateway.nginx.org/nginx-gateway-controller', 'kgateway.dev/kgateway'],
      verifiesNothing: /AllowInsecureFallback/,
      hazards: [perPort],
    },
  ],
  [
    envoyGateway,
    {
      controllers: ['gateway.envoyproxy.io/gatewayclass-controller'],
      verifiesNothing: /AllowInsecureFallback|"mode":"Request"/,
    },
  ],
  [manual, { controllers: [], verifiesNothing: /(?!)/, namesBundle: false }],
];

/** Any object of the kind; each driver's own tests have the product's own schema. */
function permissive({ group, version, plural, kind }: Resource): KubernetesObject {
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    metadata: { name: `${plural}.${group}`, annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' } },
    spec: {
      group,
      names: { plural, kind, singular: kind.toLowerCase() },
      scope: 'Namespaced',
      versions: [{ name: version, served: true, storage: true, schema }],
    },
  };
}

let environment: TerminatorEnvironment | undefined;
const there = (): TerminatorEnvironment => {
  if (environment === undefined) throw new Error('not started');
  return environment;
};

hooks.before(async () => {
  environment = await TerminatorEnvironment.start();
  for (const kind of new Set(contracts.map(([{ frontend }]) => frontend))) {
    const resource = frontendResources[kind];
    if (kind === 'Ingress') continue;
    await environment.put(customResourceDefinitions, permissive(resource));
    await waitFor(() =>
      there()
        .people.list(resource)
        .then(
          () => true,
          () => false,
        ),
    );
  }
});
hooks.after(() => environment?.stop());

hooks.test(
  'a CRD that does not know a setting is named: the cluster is behind, not the API server in trouble',
  async () => {
    const { client, people } = there();
    const old: Resource = { group: 'old.example.com', version: 'v1', plural: 'olds', kind: 'Old', namespaced: true };
    const definition = permissive(old);
    const listeners = { type: 'object', properties: { listeners: { type: 'string' } } };
    const openAPIV3Schema = { type: 'object', properties: { spec: listeners } };
    const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }];
    await there().put(customResourceDefinitions, { ...definition, spec: { ...Object(definition['spec']), versions } });
    const served = () =>
      people.list(old).then(
        () => true,
        () => false,
      );
    await waitFor(served);
    await there().namespace('old');
    const metadata = { namespace: 'old', name: 'api' };
    const made = await there().put(old, { metadata, spec: { listeners: 'x' } });
    const memory = new TerminatorMemory();
    const cache = { remember: () => undefined, forget: () => undefined };
    const frontend = projectGateway({ ...made, spec: {} });
    const settings = gatewayApi.render({ bundle: metadata, frontend, mode: 'required', depth: 1 }).settings;
    const asOld: StepContext['client'] = {
      get: client.get.bind(client),
      create: client.create.bind(client),
      update: client.update.bind(client),
      replace: client.replace.bind(client),
      delete: client.delete.bind(client),
      apply: (_resource, object, manager, options) => client.apply(old, object, manager, options),
    };
    const context: StepContext = { client: asOld, frontends: cache, bundles: cache, companions: cache, memory };
    const now = Date.now();
    await runStep({ name: 'configure', frontend, settings }, context, { now, signal: AbortSignal.timeout(30_000) });
    const refusal = memory.refusal(frontendTarget(frontend.uid), frontend.resourceVersion, now);
    assert.equal(refusal?.code, 'FieldUnknown', refusal?.message);
    assert.match(refusal?.message ?? '', /of Gateway .* does not know spec\.tls: install/);
  },
);

for (const [driver, example] of contracts) {
  driverContract(driver, example);
  if (driver.ownedKeys.length > 0) driverWriteContract(driver, example, there);
}
