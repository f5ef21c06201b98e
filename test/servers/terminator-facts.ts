/** What drivers say of their products, and from which version on: a table of docs/terminators.md but for what tests see. */
import type { TerminatorDriver } from '../../src/terminator/driver.ts';
import { awsAlb } from '../../src/terminator/drivers/aws-alb.ts';
import { contour } from '../../src/terminator/drivers/contour.ts';
import { envoyGateway } from '../../src/terminator/drivers/envoy-gateway.ts';
import { gatewayApi } from '../../src/terminator/drivers/gateway-api.ts';
import { haproxy } from '../../src/terminator/drivers/haproxy.ts';
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';
import { parseVersion } from '../../src/terminator/version.ts';
import { names } from '../verifier/product-headers.ts';
import { terminators as headers } from '../../src/verifier/terminators.ts';
import type { Cell } from './tables.ts';

/** Columns. */
export const facts = {
  driver: 'Driver',
  minimum: 'From version',
  tested: 'Tested',
  scope: 'Asks on',
  modes: 'Modes',
  crl: 'CRLs',
  header: 'Header',
  strips: 'Removes clients’ own',
} as const;

/** Rows; those of the battery by the names that they have there. */
export const terminators = {
  nginx: 'ingress-nginx',
  haproxy: 'haproxy-ingress',
  'traefik-nginx': 'Traefik, `kubernetesIngressNGINX`',
  traefik: 'Traefik, `kubernetesIngress`',
  contour: 'Contour',
  'envoy-gateway': 'Envoy Gateway',
  'gateway-api': 'Gateway API, others',
  'aws-alb': 'AWS Load Balancer Controller',
} as const;
type Row = keyof typeof terminators;

interface Known {
  driver: TerminatorDriver;
  /** A version that is too old. */
  old?: string;
  /** Of what there is no version to compare. */
  minimum?: string;
  untested?: string;
  crl?: boolean;
}

const known: Readonly<Record<Row, Known>> = {
  nginx: { driver: nginx, old: '1.0' },
  haproxy: { driver: haproxy, old: '0.1' },
  // ingress-nginx' annotations name a list, which Traefik does not read.
  'traefik-nginx': { driver: nginx, old: '3.0', crl: false },
  traefik: { driver: traefik, old: '3.0' },
  contour: { driver: contour, minimum: 'the tested one' },
  'envoy-gateway': { driver: envoyGateway, old: '1.0' },
  'gateway-api': { driver: gatewayApi, minimum: 'Gateway API 1.5', untested: 'the API server alone' },
  'aws-alb': { driver: awsAlb, minimum: 'not known', untested: 'no' },
};

/** As the driver would tell the owner of one that is too old. */
function oldest({ driver, old, minimum }: Known): string {
  const version = old === undefined ? undefined : parseVersion(old);
  const said = version === undefined ? minimum : driver.tooOld?.(version, '');
  if (said === undefined) throw new Error(`${driver.name} names no version`);
  return said;
}

function cellsOf(row: Row): Cell[] {
  const { driver, untested, crl = driver.capabilities.crl } = known[row];
  const { scope, optional, request, forwards, strips, header } = driver.capabilities;
  const name = names.find((each) => each === header);
  const modes = ['required', ...(optional ? ['optional'] : []), ...(request ? ['request'] : [])];
  const cells: Partial<Record<keyof typeof facts, string>> = {
    driver: `\`${driver.name}\``,
    minimum: oldest(known[row]),
    ...(untested !== undefined && { tested: untested }),
    scope: `a ${scope}`,
    modes: modes.map((mode) => `\`${mode}\``).join(', '),
    crl: crl ? 'yes' : 'no',
    header: forwards && name !== undefined ? `\`${headers[name].certificate}\`` : 'none',
    strips: strips === 'always' ? 'everywhere' : 'where it forwards',
  };
  return Object.entries(cells).map(([column, cell]) => ({ column, row, cell }));
}

export function terminatorFacts(): Cell[] {
  const rows: Row[] = [
    'nginx',
    'haproxy',
    'traefik-nginx',
    'traefik',
    'contour',
    'envoy-gateway',
    'gateway-api',
    'aws-alb',
  ];
  return rows.flatMap(cellsOf);
}
