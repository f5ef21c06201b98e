// Writes crds/*.yaml, and the same as templates of the chart, from the zod schemas in src/api; `--check` fails where they
// differ.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { authorizationServer } from '../src/api/authorization-server.ts';
import { clientCertificateIssuer } from '../src/api/client-certificate-issuer.ts';
import { oauthClient } from '../src/api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../src/api/resources.ts';

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

interface Kind {
  resource: { group: string; version: string; plural: string; kind: string; namespaced: boolean };
  schema: z.ZodType;
  shortNames: string[];
  columns: JsonObject[];
}

const ready = { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' };
const reason = { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' };
const age = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

const kinds: Kind[] = [
  {
    resource: oauthClients,
    schema: oauthClient,
    shortNames: ['oac'],
    columns: [
      ready,
      reason,
      { name: 'Client-ID', type: 'string', jsonPath: '.status.clientId' },
      { name: 'Secret', type: 'string', jsonPath: '.status.secretName' },
      { name: 'Expires', type: 'string', jsonPath: '.status.certificates[?(@.role=="Published")].notAfter' },
      { name: 'Server', type: 'string', jsonPath: '.spec.authorizationServerRef.name', priority: 1 },
      { name: 'Issuer', type: 'string', jsonPath: '.status.issuer', priority: 1 },
      {
        name: 'Thumbprint',
        type: 'string',
        jsonPath: '.status.certificates[?(@.role=="Published")].x5tS256',
        priority: 1,
      },
      age,
    ],
  },
  {
    resource: authorizationServers,
    schema: authorizationServer,
    shortNames: ['oas'],
    columns: [ready, reason, { name: 'Issuer', type: 'string', jsonPath: '.spec.issuer' }, age],
  },
  {
    resource: clientCertificateIssuers,
    schema: clientCertificateIssuer,
    shortNames: ['cci'],
    columns: [
      ready,
      reason,
      { name: 'Expires', type: 'string', jsonPath: '.status.generations[?(@.phase=="Active")].notAfter' },
      age,
    ],
  },
];

/** What a structural schema doesn't take: JSON Schema's own keywords and the bounds that zod adds to every integer. */
function structural(node: Json): Json {
  if (Array.isArray(node)) return node.map(structural);
  if (node === null || typeof node !== 'object') return node;
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === '$schema' || key === 'propertyNames' || (key === 'additionalProperties' && value === false)) continue;
    if ((key === 'minimum' || key === 'maximum') && typeof value === 'number' && Math.abs(value) > 2 ** 30) continue;
    if (key === 'default' || key === 'x-kubernetes-validations') result[key] = value;
    else result[key] = structural(value);
  }
  return result;
}

function crd({ resource, schema, shortNames, columns }: Kind): JsonObject {
  const json: unknown = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline' });
  const root = structural(JSON.parse(JSON.stringify(json)));
  if (root === null || typeof root !== 'object' || Array.isArray(root)) throw new Error('schema is not an object');
  const { properties, required: _required, ...rest } = root;
  if (properties === null || typeof properties !== 'object' || Array.isArray(properties))
    throw new Error('no properties');
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${resource.plural}.${resource.group}` },
    spec: {
      group: resource.group,
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.kind.toLowerCase(),
        shortNames,
        categories: ['oauth'],
      },
      versions: [
        {
          name: resource.version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              ...rest,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                ...properties,
                metadata: { type: 'object' },
              },
            },
          },
        },
      ],
    },
  };
}

const GENERATED = 'Generated from src/api by `npm run generate`.';

/** Helm never upgrades what is in a chart's own crds folder, so they are templates. */
function chartTemplate(text: string): string {
  if (text.includes('{{')) throw new Error('Helm would take part of a CRD for a template');
  const name = /^metadata:\n {2}name: .*\n/m;
  if (!name.test(text)) throw new Error('a CRD without a name');
  const withMetadata = text.replace(
    name,
    (metadata) => `${metadata}  labels: {{- include "certbound.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
`,
  );
  return `{{- /* ${GENERATED} */}}\n{{- if .Values.crds.enabled }}\n${withMetadata}{{- end }}\n`;
}

const root = resolve(import.meta.dirname, '..');
const directories = { crds: resolve(root, 'crds'), chart: resolve(root, 'charts/certbound/templates/crds') };
const files = kinds.flatMap((kind) => {
  const text = stringify(crd(kind), { lineWidth: 120, aliasDuplicateObjects: false });
  const file = `${kind.resource.plural}.yaml`;
  return [
    { path: resolve(directories.crds, file), text: `# ${GENERATED}\n${text}` },
    { path: resolve(directories.chart, file), text: chartTemplate(text) },
  ];
});
let differing = 0;
for (const directory of Object.values(directories)) await mkdir(directory, { recursive: true });
for (const { path, text } of files) {
  if (!process.argv.includes('--check')) await writeFile(path, text);
  else if ((await readFile(path, 'utf8').catch(() => '')) !== text) {
    differing++;
    console.error(`${path} differs from src/api: run \`npm run generate\` and commit the result.`);
  }
}
process.exitCode = differing === 0 ? 0 : 1;
