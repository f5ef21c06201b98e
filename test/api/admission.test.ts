/** The generated CRDs on a real API server: what is refused, in which words, and what everybody sees of an object. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubernetesObject, Resource } from '../../src/kube/resource.ts';
import { apply, namespace } from '../support/cluster-objects.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import * as ofServers from './admission/authorization-server.ts';
import * as ofIssuers from './admission/client-certificate-issuer.ts';
import * as ofClients from './admission/oauth-client.ts';
import { definitionsOf, type Field, fieldsOf } from './crd-schema.ts';
import { hostPolicyCases } from './host-policy.ts';

const root = resolve(import.meta.dirname, '../..');
const definitions = await definitionsOf(resolve(root, 'crds'));
const kinds = [oauthClients, authorizationServers, clientCertificateIssuers];
const specs: Record<string, unknown> = {
  OAuthClient: { authorizationServerRef: { name: 'corporate' } },
  AuthorizationServer: { issuer: 'https://as.example.test', dynamicRegistration: {} },
  ClientCertificateIssuer: { selfSigned: {} },
};

test('crds/ is what the generator makes of the schemas', async () => {
  const generator = resolve(root, 'hack/generate-crds.ts');
  await promisify(execFile)(process.execPath, [generator, '--check'], { cwd: root });
});

describe('descriptions', () => {
  for (const { kind, schema } of definitions) {
    const fields = fieldsOf(schema).filter(({ path }) => /^(spec|status)\b/.test(path));

    test(`${kind}: every field under spec and status is described`, () => {
      assert.ok(fields.length > 10, 'the schema was not walked');
      const silent = fields.filter(({ node }) => (node.description ?? '').length < 4).map(({ path }) => path);
      assert.deepEqual(silent, []);
    });

    test(`${kind}: a field that speaks of a protocol's parameter names the RFC that defines it`, () => {
      const parameter = /\b[a-z]+(?:_[a-z0-9]+)+\b/;
      const speaking = fields.filter(({ node }) => parameter.test(node.description ?? ''));
      assert.ok(kind === 'ClientCertificateIssuer' || speaking.length > 5);
      const without = speaking.filter(({ node }) => !/RFC \d{4}/.test(node.description ?? ''));
      assert.deepEqual(
        without.map(({ path }) => path),
        [],
      );
    });

    test(`${kind}: every string, list and map has a maximum`, () => {
      const unbounded = fields.filter(({ node }) => {
        if (node.type === 'array') return node.maxItems === undefined;
        if (node.type === 'object') return node.additionalProperties !== undefined && node.maxProperties === undefined;
        return (
          node.type === 'string' && node.maxLength === undefined && node.enum === undefined && node.format === undefined
        );
      });
      assert.deepEqual(
        unbounded.map(({ path }) => path),
        [],
      );
    });
  }
});

/** The shortest object that has `value` at the path: lists have one entry. */
function holding(path: string, value: unknown): unknown {
  return path.split('.').reduceRight((inner: unknown, step) => {
    const name = step.replace('[]', '');
    return { [name]: step.endsWith('[]') ? [inner] : inner };
  }, value);
}

async function refusal(work: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof KubeError, `it was not refused (${String(error)})`);
  assert.equal(error.status, 422, error.message);
  return error;
}

describe('on the API server', () => {
  let plane: ControlPlane;
  let kube: KubeClient;
  let count = 0;
  before(async () => {
    plane = await startControlPlane({ crds: [resolve(root, 'crds')] });
    kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    // Where the examples' team is.
    await apply(kube, namespace('payments'));
  });
  after(async () => {
    await kube?.close();
    await plane?.stop();
  });

  hostPolicyCases(() => kube);

  const make = (resource: Resource, spec: unknown): Promise<KubernetesObject> =>
    kube.create(resource, {
      metadata: { name: `case-${++count}`, ...(resource.namespaced ? { namespace: 'default' } : {}) },
      spec,
    });

  async function attempt({ resource, before: present, spec }: { resource: Resource; before?: unknown; spec: unknown }) {
    if (present === undefined) return make(resource, spec);
    const object = await make(resource, present);
    return kube.update(resource, { ...object, spec });
  }

  for (const { name, resource, ...change } of [ofClients, ofServers, ofIssuers].flatMap(({ refused }) => refused)) {
    test(`${resource.kind}: refuses ${name}`, async () => {
      const { causes, message } = await refusal(attempt({ resource, ...change }));
      const said = causes.filter(({ field }) => field === change.field).map((cause) => cause.message);
      assert.ok(
        said.some((text) => change.says.test(text ?? '')),
        `${change.field} ${String(change.says)}\n${JSON.stringify(causes, undefined, 1)}\n${message}`,
      );
    });
  }

  for (const { name, ...change } of [ofClients, ofServers, ofIssuers].flatMap(({ accepted }) => accepted)) {
    test(`${change.resource.kind}: accepts ${name}`, async () => {
      const object = await attempt(change);
      assert.deepEqual(object['spec'], change.spec);
    });
  }

  for (const resource of kinds) {
    const definition = definitions.find(({ kind }) => kind === resource.kind);
    const fields = definition === undefined ? [] : fieldsOf(definition.schema);

    test(`${resource.kind}: refuses every string and list that is too long`, async () => {
      const bounded = fields.filter(
        ({ path, node }) =>
          path.startsWith('spec.') &&
          (node.maxItems !== undefined || (node.maxLength !== undefined && node.enum === undefined)),
      );
      assert.ok(bounded.length > 5);
      for (const field of bounded) await tooLong(resource, field);
    });

    test(`${resource.kind}: says Ready=Unknown before any controller has seen it`, async () => {
      const { status } = z
        .object({ status: z.object({ conditions: z.array(z.record(z.string(), z.unknown())) }) })
        .parse(await make(resource, specs[resource.kind]));
      assert.equal(status.conditions.length, 1);
      const { type, status: value, reason, message } = status.conditions[0] ?? {};
      assert.deepEqual([type, value, reason], ['Ready', 'Unknown', 'Pending']);
      assert.match(String(message), /Waiting for the Certbound operator/);
    });

    test(`${resource.kind}: a status can't be written through the object, nor a spec through its status`, async () => {
      const object = await make(resource, specs[resource.kind]);
      const written = await kube.update(resource, { ...object, status: { observedGeneration: 7 } });
      assert.deepEqual(written['status'], object['status']);
      const other = await kube.updateStatus(resource, {
        ...written,
        spec: { ...Object(specs[resource.kind]), selfSigned: {}, scope: 'other' },
        status: { observedGeneration: 7 },
      });
      assert.deepEqual(other['spec'], object['spec']);
      assert.equal(other.metadata.generation, 1);
    });

    test(`${resource.kind}: an unknown field is refused where validation is strict, and never stored`, async () => {
      const manifest = (name: string) => ({
        apiVersion: `${resource.group}/${resource.version}`,
        kind: resource.kind,
        metadata: { name, ...(resource.namespaced ? { namespace: 'default' } : {}) },
        spec: { ...Object(specs[resource.kind]), privatKey: 'typo' },
      });
      const path = join(plane.dir, `${resource.plural}-strict.json`);
      await writeFile(path, JSON.stringify(manifest('strict')));
      const strict = await plane.kubectl('create', '--validate=strict', `--filename=${path}`);
      assert.notEqual(strict.code, 0);
      assert.match(strict.stderr, /unknown field "spec\.privatKey"/);
      const stored = await kube.create(resource, manifest('lenient'));
      assert.deepEqual(stored['spec'], specs[resource.kind]);
    });
  }

  async function tooLong(resource: Resource, { path, node }: Field): Promise<void> {
    const value =
      node.maxItems === undefined
        ? 'a'.repeat((node.maxLength ?? 0) + 1)
        : Array.from({ length: node.maxItems + 1 }, () => (node.items?.type === 'object' ? {} : 'a'));
    const { causes, message } = await refusal(make(resource, Object(holding(path, value))['spec']));
    const field = path.replaceAll('[]', '[0]');
    const said = causes.filter((cause) => cause.field === field).map((cause) => cause.message ?? '');
    assert.ok(
      said.some((text) => /Too (long|many)/.test(text)),
      `${path}: ${message}`,
    );
  }

  test('the examples are accepted by strict validation', async () => {
    for (const name of ['platform.yaml', 'client.yaml']) {
      const path = resolve(root, 'examples', name);
      const answer = await plane.kubectl('create', '--dry-run=server', '--validate=strict', `--filename=${path}`);
      assert.equal(answer.code, 0, answer.stderr);
    }
  });

  test('printer columns: wide ones only on request', async () => {
    const columns = {
      OAuthClient: ['READY', 'REASON', 'CLIENT-ID', 'SECRET', 'EXPIRES', 'AGE'],
      AuthorizationServer: ['READY', 'REASON', 'ISSUER', 'AGE'],
      ClientCertificateIssuer: ['READY', 'REASON', 'EXPIRES', 'AGE'],
    };
    for (const [resource, short] of [
      [oauthClients, 'oac'],
      [authorizationServers, 'oas'],
      [clientCertificateIssuers, 'cci'],
    ] as const) {
      await make(resource, specs[resource.kind]);
      const { stdout, code, stderr } = await plane.kubectl('get', short, '-n', 'default');
      assert.equal(code, 0, stderr);
      const [header = '', first = ''] = stdout.split('\n');
      assert.deepEqual(header.trim().split(/\s+/), ['NAME', ...columns[resource.kind]]);
      assert.match(first, /\bUnknown +Pending\b/);
    }
    const wide = await plane.kubectl('get', 'oac', '-n', 'default', '-o', 'wide');
    assert.match(wide.stdout.split('\n')[0] ?? '', /EXPIRES +SERVER +ISSUER +THUMBPRINT +AGE/);
  });

  test('printer columns show what is in status', async () => {
    const object = await make(oauthClients, specs['OAuthClient']);
    const at = '2030-01-02T03:04:05Z';
    const certificate = { serialNumber: '01', subject: 'CN=a', notBefore: at, notAfter: at };
    await kube.updateStatus(oauthClients, {
      ...object,
      status: {
        clientId: 'client-one',
        secretName: 'one-oauth',
        certificates: [
          { ...certificate, x5tS256: 'a'.repeat(43), role: 'Draining', notAfter: '2029-01-01T00:00:00Z' },
          { ...certificate, x5tS256: 'b'.repeat(43), role: 'Published' },
        ],
        conditions: [{ type: 'Ready', status: 'True', reason: 'Ready', message: '', lastTransitionTime: at }],
      },
    });
    const { stdout } = await plane.kubectl('get', 'oac', object.metadata.name, '-n', 'default', '--no-headers');
    assert.deepEqual(stdout.trim().split(/\s+/).slice(1, -1), ['True', 'Ready', 'client-one', 'one-oauth', at]);
  });

  test('the category oauth has all three kinds', async () => {
    await Promise.all(kinds.map((resource) => make(resource, specs[resource.kind])));
    const { stdout, stderr } = await plane.kubectl('get', 'oauth', '-A', '-o', 'name');
    for (const { kind } of kinds)
      assert.match(stdout, new RegExp(`^${kind.toLowerCase()}\\.certbound\\.dev/`, 'm'), stderr);
  });

  test('kubectl explain has the text, and the RFC', async () => {
    const { stdout, stderr } = await plane.kubectl('explain', 'oauthclient.spec.certificate.subject');
    assert.match(stdout, /RFC 8705/, stderr);
    for (const member of ['dn', 'dnsName', 'uri', 'ipAddress', 'emailAddress'])
      assert.match(stdout, new RegExp(`^ +${member}\\t`, 'm'));
    assert.match(stdout, /tls_client_auth_san_dns/);
    const all = await plane.kubectl('explain', 'oauthclient', '--recursive');
    assert.match(all.stdout, /certificate-bound access tokens/);
  });
});
