/** What drivers say of their products, and from which version on: a table of docs/terminators.md but for what tests see. */
import type { TerminatorDriver } from '../../src/terminator/driver.ts';
import { awsAlb } from '../../src/terminator/aws-alb.ts';
import { contour } from '../../src/terminator/contour.ts';
import { envoyGateway } from '../../src/terminator/envoy-gateway.ts';
import { gatewayApi } from '../../src/terminator/gateway-api.ts';
import { haproxy } from '../../src/terminator/haproxy.ts';
import { nginx } from '../../src/terminator/nginx.ts';
import { traefik } from '../../src/terminator/traefik.ts';
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

const known: Readonly<Record<Row, { driver: TerminatorDriver; minimum: string; untested?: string; crl?: boolean }>> = {
  nginx: { driver: nginx, minimum: '1.15.1' },
  haproxy: { driver: haproxy, minimum: '0.14' },
  // ingress-nginx' annotations name a list, which Traefik does not read.
  'traefik-nginx': { driver: nginx, minimum: '3.7.11', crl: false },
  traefik: { driver: traefik, minimum: '3.7.11' },
  contour: { driver: contour, minimum: '1.33.8' },
  'envoy-gateway': { driver: envoyGateway, minimum: '1.8' },
  'gateway-api': { driver: gatewayApi, minimum: 'Gateway API 1.5', untested: 'the API server alone' },
  'aws-alb': { driver: awsAlb, minimum: 'not known', untested: 'no' },
};

function cellsOf(row: Row): Cell[] {
  const { driver, minimum, untested, crl = driver.capabilities.crl } = known[row];
  const { scope, optional, request, forwards, strips, header } = driver.capabilities;
  const name = names.find((each) => each === header);
  const modes = ['required', ...(optional ? ['optional'] : []), ...(request ? ['request'] : [])];
  const cells: Partial<Record<keyof typeof facts, string>> = {
    driver: `\`${driver.name}\``,
    minimum,
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
