/** The alerts of the chart, before Prometheus' own rule engine: each fires when it is to, and alone. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { readConfig } from '../../src/config.ts';
import { CHART, rendered, type Values } from '../support/chart.ts';
import { exposedMetrics } from '../support/exposed-metrics.ts';
import { findPromtool } from '../support/promtool.ts';
import { CLUSTER } from './variants.ts';

const rule = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string() }),
});
const ruleFile = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(rule) })),
});

async function prometheusRule(values: Values = {}) {
  const enabled = { ...CLUSTER, ...values, metrics: { prometheusRule: { enabled: true, labels: { release: 'p' } } } };
  const found = (await rendered(enabled)).filter(({ kind }) => kind === 'PrometheusRule');
  assert.equal(found.length, 1);
  const [object] = found;
  assert.equal(object?.metadata.labels?.['release'], 'p');
  return ruleFile.parse(object?.['spec']);
}

const day = 86_400;
/** Minutes, one sample each. */
const steady = (value: number) => `${value}x800`;
const rising = (perMinute: number, from = 0) => `${from}+${perMinute}x800`;

type Series = Record<string, string>;

/** What an installation at rest tells, from each of its two replicas. */
function healthy(): Series {
  const both = (name: string, labels: string, values: string): Series =>
    Object.fromEntries(['a', 'b'].map((pod) => [`${name}{${labels},pod="${pod}"}`, values]));
  return {
    'leader_election_master_status{name="certbound",pod="a"}': steady(1),
    'leader_election_master_status{name="certbound",pod="b"}': steady(0),
    ...both(EXPIRATION, BATCH, steady(30 * day)),
    ...both(RENEWAL, BATCH, steady(20 * day)),
    ...both(READY, BATCH, steady(1)),
    ...both('certbound_authorizationserver_ready', 'authorization_server="corporate"', steady(1)),
    ...both('certbound_terminator_hosts', 'controller="k8s.io/ingress-nginx",state="disproved"', steady(0)),
    ...both('certbound_terminator_hosts', 'controller="k8s.io/ingress-nginx",state="proved"', steady(2)),
    ...both('certbound_clientcertificateissuer_ready', 'issuer="ours"', steady(1)),
    ...both(CA, 'issuer="ours",sha256="aa"', steady(3650 * day)),
    [calls('token', '2xx')]: rising(1),
    'controller_runtime_reconcile_total{controller="oauthclient",result="success",pod="a"}': rising(1),
  };
}

const EXPIRATION = 'certbound_oauthclient_certificate_expiration_timestamp_seconds';
const RENEWAL = 'certbound_oauthclient_certificate_renewal_timestamp_seconds';
const READY = 'certbound_oauthclient_ready';
const CA = 'certbound_clientcertificateissuer_ca_expiration_timestamp_seconds';
const BATCH = 'namespace="team",name="batch"';
const calls = (operation: string, outcome: string) =>
  `certbound_authorizationserver_requests_total{authorization_server="corporate",operation="${operation}",outcome="${outcome}",pod="a"}`;

/** The same from both replicas; undefined where it tells nothing. */
function batch(name: string, values: string | undefined): Record<string, string | undefined> {
  return Object.fromEntries(['a', 'b'].map((pod) => [`${name}{${BATCH},pod="${pod}"}`, values]));
}

interface Case {
  name: string;
  /** What differs from `healthy`. */
  change?: Record<string, string | undefined>;
  /** When one looks, such as `2h`. */
  at: string;
  /** Labels besides the severity. */
  firing: Record<string, string>;
}

const CLIENT = 'name="batch",namespace="team",severity';
const expired = 'CertboundCertificateExpired';
const cases: Case[] = [
  { name: 'at rest', at: '5h', firing: {} },
  {
    name: 'an expired certificate',
    change: { ...batch(EXPIRATION, steady(3600)), ...batch(RENEWAL, steady(1800)) },
    at: '2h',
    firing: { [expired]: `${CLIENT}="critical"`, CertboundRenewalOverdue: `${CLIENT}="warning"` },
  },
  {
    name: 'a certificate that ends within three days, past its renewal',
    change: { ...batch(EXPIRATION, steady(day)), ...batch(RENEWAL, steady(1800)) },
    at: '2h',
    firing: { CertboundCertificateExpiresSoon: `${CLIENT}="critical"` },
  },
  {
    name: 'a certificate that ends within three days and is never renewed',
    change: { ...batch(EXPIRATION, steady(day)), ...batch(RENEWAL, undefined) },
    at: '2h',
    firing: { CertboundCertificateExpiresSoon: `${CLIENT}="critical"` },
  },
  {
    name: 'certificates of two hours, each renewed in time',
    change: { ...batch(EXPIRATION, rising(60, 7200)), ...batch(RENEWAL, rising(60, 3600)) },
    at: '5h',
    firing: {},
  },
  {
    name: 'a replica whose cache is behind',
    change: {
      [`${EXPIRATION}{${BATCH},pod="b"}`]: steady(3600),
      [`${RENEWAL}{${BATCH},pod="b"}`]: steady(1800),
    },
    at: '2h',
    firing: {},
  },
  ...(['9h', '12h'] as const).map((at) => ({
    name: `a renewal that was due ${at} ago, of four days left then`,
    change: { ...batch(EXPIRATION, steady(4 * day)), ...batch(RENEWAL, steady(0)) },
    at,
    firing: at === '9h' ? {} : { CertboundRenewalOverdue: `${CLIENT}="warning"` },
  })),
  ...(['70m', '90m'] as const).map((at) => ({
    name: `a client that is not Ready since 60m, at ${at}`,
    change: batch(READY, '1x59 0x1000'),
    at,
    firing: at === '70m' ? {} : { CertboundClientNotReady: `${CLIENT}="warning"` },
  })),
  {
    name: 'a server that hangs',
    change: { [calls('token', '2xx')]: steady(60), [calls('token', 'deadline')]: rising(1) },
    at: '1h',
    firing: { CertboundAuthorizationServerFailing: 'authorization_server="corporate",severity="warning"' },
  },
  {
    name: 'a server behind a gateway that cannot reach it, for most requests',
    change: { [calls('token', '2xx')]: rising(1), [calls('discover', '5xx')]: rising(2) },
    at: '1h',
    firing: { CertboundAuthorizationServerFailing: 'authorization_server="corporate",severity="warning"' },
  },
  {
    name: 'a server that refuses, redirects, or is not waited for',
    change: {
      [calls('token', '2xx')]: undefined,
      [calls('token', '4xx')]: rising(5),
      [calls('discover', '3xx')]: rising(1),
      [calls('read', 'cancelled')]: rising(50),
    },
    at: '1h',
    firing: {},
  },
  {
    name: 'an AuthorizationServer that is not Ready',
    change: { 'certbound_authorizationserver_ready{authorization_server="corporate",pod="a"}': steady(0) },
    at: '1h',
    firing: { CertboundAuthorizationServerNotReady: 'authorization_server="corporate",severity="warning"' },
  },
  {
    name: 'a terminator that the leader has disproved',
    change: { 'certbound_terminator_hosts{controller="k8s.io/ingress-nginx",state="disproved",pod="a"}': steady(1) },
    at: '1h',
    firing: { CertboundTerminatorDisproved: 'controller="k8s.io/ingress-nginx",severity="critical"' },
  },
  {
    name: 'an issuer that is not Ready',
    change: { 'certbound_clientcertificateissuer_ready{issuer="ours",pod="a"}': steady(0) },
    at: '1h',
    firing: { CertboundIssuerNotReady: 'issuer="ours",severity="warning"' },
  },
  {
    name: 'a CA that ends within a month',
    change: {
      [`${CA}{issuer="ours",sha256="aa",pod="a"}`]: steady(20 * day),
      [`${CA}{issuer="ours",sha256="aa",pod="b"}`]: steady(20 * day),
    },
    at: '2h',
    firing: { CertboundCAExpiresSoon: 'issuer="ours",severity="warning"' },
  },
  {
    name: 'a CA that ends within a month and has a successor',
    change: { [`${CA}{issuer="ours",sha256="bb",pod="a"}`]: steady(day) },
    at: '2h',
    firing: {},
  },
  ...(['4m', '10m'] as const).map((at) => ({
    name: `two replicas and no leader for ${at}`,
    change: { 'leader_election_master_status{name="certbound",pod="a"}': steady(0) },
    at,
    firing: at === '4m' ? {} : { CertboundNoLeader: 'severity="critical"' },
  })),
  {
    name: 'no replica at all',
    change: Object.fromEntries(Object.keys(healthy()).map((series) => [series, undefined])),
    at: '10m',
    firing: { CertboundNoLeader: 'name="certbound",severity="critical"' },
  },
  ...([120, 1800] as const).map((perMinute) => ({
    name: `${perMinute / 60} reconciles a second without end`,
    change: {
      'controller_runtime_reconcile_total{controller="oauthclient",result="success",pod="a"}': rising(perMinute),
    },
    at: '2h',
    firing: perMinute === 120 ? {} : { CertboundHotLoop: 'controller="oauthclient",severity="warning"' },
  })),
];

describe('the alerts of the chart', async () => {
  const promtool = await findPromtool();
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'certbound-alerts-'));
    await writeFile(join(directory, 'rules.yaml'), stringify(await prometheusRule()));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it('are off by default, and else the whole file beside the chart', async () => {
    assert.equal((await rendered(CLUSTER)).filter(({ kind }) => kind === 'PrometheusRule').length, 0);
    const file = ruleFile.parse(parse(await readFile(join(CHART, 'alerts.yaml'), 'utf8')));
    assert.deepEqual(await prometheusRule(), file);
  });

  it('speak of metrics that the operator has', async () => {
    const names = exposedMetrics().map(({ name }) => name);
    for (const { alert, expr } of (await prometheusRule()).groups.flatMap(({ rules }) => rules)) {
      const used = expr.match(/\b(certbound|controller_runtime|leader_election|workqueue)_\w+/g) ?? [];
      assert.ok(used.length > 0, alert);
      for (const name of used) assert.ok(names.includes(name), `${alert}: ${name}`);
    }
  });

  it('are each tried below', async () => {
    const all = (await prometheusRule()).groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
    assert.deepEqual(all.toSorted(), [...new Set(cases.flatMap(({ firing }) => Object.keys(firing)))].toSorted());
  });

  it('look at the Lease that the operator takes', async () => {
    const controllerName = 'example.com/second';
    const { leaseName } = readConfig({ CERTBOUND_CLUSTER_ID: 'a', CERTBOUND_CONTROLLER_NAME: controllerName });
    const exprs = (await prometheusRule({ controllerName })).groups.flatMap(({ rules }) =>
      rules.map(({ expr }) => expr),
    );
    const named = exprs.flatMap((expr) => [...expr.matchAll(/leader_election_master_status\{name="([^"]*)"\}/g)]);
    assert.deepEqual(
      named.map(([, name]) => name),
      [leaseName, leaseName],
    );
  });

  for (const { name, change, at, firing } of cases) {
    it(
      `fire as they are to: ${name}`,
      { skip: promtool === undefined && 'no promtool, and no Debian to take it from' },
      async () => {
        assert.ok(promtool !== undefined);
        const series = Object.entries({ ...healthy(), ...change }).flatMap(([one, values]) =>
          values === undefined ? [] : [{ series: one, values }],
        );
        const samples = Object.entries(firing).map(([alertname, labels]) => ({
          labels: `ALERTS{alertname="${alertname}",alertstate="firing",${labels}}`,
          value: 1,
        }));
        const file = join(directory, `${cases.findIndex((one) => one.name === name)}.yaml`);
        await writeFile(
          file,
          stringify({
            rule_files: ['rules.yaml'],
            evaluation_interval: '1m',
            tests: [
              {
                interval: '1m',
                input_series: series,
                promql_expr_test: [{ expr: 'ALERTS{alertstate="firing"}', eval_time: at, exp_samples: samples }],
              },
            ],
          }),
        );
        const failure = await promisify(execFile)(promtool, ['test', 'rules', file]).then(
          () => undefined,
          (error: unknown) => z.object({ stderr: z.string(), stdout: z.string() }).parse(error),
        );
        assert.equal(failure, undefined, `${failure?.stdout}${failure?.stderr}`);
      },
    );
  }
});
