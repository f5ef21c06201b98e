import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, test } from 'node:test';

interface Import {
  from: string;
  /** A path within src, or a package. */
  to: string;
  /** Erased before it runs. */
  type: boolean;
}

const statement = /^(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

function importsIn(from: string, text: string): Import[] {
  return [...text.matchAll(statement)].map(([, type, named, bare, dynamic]) => {
    const specifier = named ?? bare ?? dynamic ?? '';
    const to = specifier.startsWith('.') ? normalize(join(dirname(from), specifier)) : specifier;
    return { from, to, type: type !== undefined };
  });
}

const source = new URL('../src/', import.meta.url).pathname;
const sources = new Map(
  globSync('**/*.ts', { cwd: source }).map((file) => [file, readFileSync(join(source, file), 'utf8')]),
);
const imports = [...sources].flatMap(([file, text]) => importsIn(file, text));
const shown = (found: readonly Import[]) => found.map(({ from, to }) => `${from} imports ${to}`);

const within = ({ to }: Import) => to.endsWith('.ts');
/** The folder, or the file itself where it lies in src. */
const partOf = (path: string) => path.split('/')[0] ?? path;

const leafs = ['errors.ts', 'telemetry.ts'];
const infrastructure = [...leafs, 'kube', 'runtime'];
const domain = [...infrastructure, 'api', 'x509'];
const kinds = ['issuer', 'authserver', 'terminator'];
const everything = [
  ...domain,
  ...kinds,
  'oauthclient',
  'http',
  'metrics.ts',
  'config.ts',
  'caches.ts',
  'sources.ts',
  'state-metrics.ts',
  'leadership.ts',
];

/** What each part may import besides itself (design, §4). A new part is a decision: it gets a line here. */
const mayImport: Record<string, readonly string[]> = {
  'errors.ts': [],
  'telemetry.ts': ['errors.ts'],
  'metrics.ts': ['telemetry.ts'],
  'config.ts': ['errors.ts', 'terminator'],
  http: leafs,
  kube: infrastructure,
  runtime: infrastructure,
  api: [],
  x509: ['errors.ts', 'api'],
  verifier: ['errors.ts', 'api', 'x509'],
  issuer: domain,
  authserver: domain,
  terminator: domain,
  oauthclient: [...domain, ...kinds],
  'caches.ts': everything,
  'leadership.ts': [...infrastructure, 'config.ts'],
  'sources.ts': everything,
  'state-metrics.ts': everything,
  'operator.ts': everything,
  'main.ts': [...leafs, 'config.ts', 'operator.ts'],
};

describe('imports', () => {
  test('every form of them is read', () => {
    const text = [
      "import { a } from './a.ts';",
      "import type { B } from '../api/b.ts';",
      'import {\n  c,\n  d,\n} from "no";',
      "import {\n  type E,\n  f,\n} from 'pkg';",
      "export { g } from './g.ts';",
      "export type { H } from './h.ts';",
      "import 'side-effect';",
      "const late = await import('./late.ts');",
      "export const text = 'not from here';",
    ].join('\n');
    assert.deepEqual(
      importsIn('x509/file.ts', text).map(({ to, type }) => (type ? `type ${to}` : to)),
      ['x509/a.ts', 'type api/b.ts', 'pkg', 'x509/g.ts', 'type x509/h.ts', 'side-effect', 'x509/late.ts'],
    );
    for (const [file, text_] of sources) assert.doesNotMatch(text_, /^(import|export) .*from "|require\(/m, file);
    assert.deepEqual(
      shown(imports.filter((one) => within(one) && !sources.has(one.to))),
      [],
      'paths that do not exist',
    );
  });

  test('every part of src has a rule, and every rule a part', () => {
    const parts = new Set([...sources.keys()].map(partOf));
    assert.deepEqual([...parts].toSorted(), Object.keys(mayImport).toSorted());
  });

  for (const [part, allowed] of Object.entries(mayImport)) {
    test(`${part} imports ${allowed.join(', ') || 'nothing else'}`, () => {
      const wrong = imports.filter(
        (one) => partOf(one.from) === part && within(one) && ![part, ...allowed].includes(partOf(one.to)),
      );
      assert.deepEqual(shown(wrong), []);
    });
  }
});

/** Files in which decisions are made: from data to data, the same whenever and wherever they run. */
const decides = (file: string) =>
  /(^|\/)(desired|checks|status|schedule|grants|distribution|in-use|contest|verdict)\.ts$|\/(checks|rules)\//.test(
    file,
  );
const decisions = [...sources.keys()].filter(decides);

describe('decisions are pure', () => {
  const io =
    /^(kube\/(?!resource\.ts$)|http\/|runtime\/(?!(pass|in-use|contest)\.ts$)|undici$|node:(fs|http|https|http2|net|tls|dns|timers|child_process|process|os)\b)/;

  test('they are found', () => {
    assert.ok(decisions.length >= 15, `${decisions.length} files`);
    for (const kind of [...kinds, 'oauthclient']) {
      assert.ok(
        decisions.some((file) => file.startsWith(`${kind}/`)),
        kind,
      );
    }
  });

  for (const file of decisions) {
    test(`${file} imports nothing that does I/O`, () => {
      const wrong = imports.filter((one) => one.from === file && !one.type && io.test(one.to));
      assert.deepEqual(shown(wrong), []);
    });

    test(`${file} imports no steps and no drivers`, () => {
      const acts =
        /\/(steps|driver|nginx|dynamic-registration|ca|self-signed|record-store|call|probe|proof)\.ts$|\/steps\//;
      assert.deepEqual(shown(imports.filter((one) => one.from === file && !one.type && acts.test(one.to))), []);
    });

    test(`${file} asks neither clock nor chance`, () => {
      const text = sources.get(file) ?? '';
      const volatile =
        /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(|\brandom(UUID|Bytes|Int)\(|\bset(Timeout|Interval|Immediate)\(|\bawait\b|\basync\b/;
      assert.doesNotMatch(text, volatile);
    });
  }
});

const importers = (pattern: RegExp) =>
  [...new Set(imports.filter(({ to }) => pattern.test(to)).map(({ from }) => from))].toSorted();

describe('what has one place', () => {
  test('@kubernetes/client-node reads the kubeconfig and nothing else: it holds 85 MB and one connection a call', () => {
    assert.deepEqual(importers(/^@kubernetes\/client-node/), ['kube/credentials.ts']);
  });

  test('@peculiar/x509 is set up once', () => {
    assert.deepEqual(importers(/^@peculiar\/x509/), ['x509/library.ts']);
  });

  test('processes are never started', () => {
    assert.deepEqual(importers(/^node:child_process/), []);
  });

  test('every request to an authorization server is counted where it leaves', () => {
    const values = imports.filter(
      ({ from, to, type }) => !type && from !== to && to === 'authserver/connection/http.ts',
    );
    assert.deepEqual(shown(values), ['authserver/connection/connection.ts imports authserver/connection/http.ts']);
  });

  test('connections are opened in few places', () => {
    assert.deepEqual(importers(/^(undici|node:(http|https|http2|net|tls|dns))$/), [
      // Connections to authorization servers: addresses, trust, deadlines.
      'authserver/connection/connection.ts',
      'authserver/connection/http.ts',
      'authserver/connection/tunnel.ts',
      'authserver/registration/client-metadata.ts', // isIP alone
      // Key sets; metrics and health.
      'http/jwks.ts',
      'http/listening.ts', // types alone
      'http/server.ts',
      // The API server.
      'kube/credentials.ts',
      'kube/dead-connection.ts', // ends one
      'kube/transport.ts',
      // Terminators: addresses of the platform, deadlines.
      'terminator/proof/addresses.ts',
      'terminator/proof/call.ts',
      'x509/subject-name.ts', // isIP alone
    ]);
  });
});
