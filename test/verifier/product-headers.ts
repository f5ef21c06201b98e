/** What each product sends for a client that presented these certificates, written from its source or documentation. */
import { createHash } from 'node:crypto';
import { clientCertFields } from '../../src/verifier/client-cert.ts';
import type { HeaderLines } from '../../src/verifier/certificate-header.ts';
import { type TerminatorName, terminators } from '../../src/verifier/terminators.ts';

const isTerminator = (name: string): name is TerminatorName => name in terminators;
export const names: readonly TerminatorName[] = Object.keys(terminators).filter(isTerminator);

interface Presented {
  leaf: Buffer;
  chain: readonly Buffer[];
  verified: boolean;
}

type Product = (presented: Presented) => Record<string, string>;

/** PEM_write_bio_X509, encoding/pem: lines of 64 characters. */
const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replaceAll(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
const escape = (text: string, bare: RegExp): string =>
  text.replaceAll(/[^]/g, (c) =>
    bare.test(c) ? c : `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
const unreserved = (text: string) => escape(text, /[A-Za-z0-9._~-]/);
/** Python's quote(…, safe='+=/'). */
const aws = (text: string) => escape(text, /[A-Za-z0-9._~+=/-]/);
const base64 = (der: Buffer): string => der.toString('base64');
const cloudflare = ({ verified }: Presented) => ({
  'cf-cert-presented': 'true',
  'cf-cert-verified': String(verified),
  'cf-cert-revoked': 'false',
});
const rfc9440 = ({ leaf, chain }: Presented) => ({ ...clientCertFields({ der: leaf, chain }) });

/** Envoy, connection_info_impl_base.cc and conn_manager_utility.cc, with Cert, Chain, Subject, URI and DNS. */
export const envoyElement = (cert: Buffer, chain: readonly Buffer[], more: readonly string[] = []): string =>
  [
    'By=spiffe://cluster.local/ns/istio-system/sa/gateway',
    `Hash=${createHash('sha256').update(cert).digest('hex')}`,
    `Cert="${unreserved(pem(cert))}"`,
    ...(chain.length > 0 ? [`Chain="${unreserved([cert, ...chain].map(pem).join(''))}"`] : []),
    'Subject="CN=a\\"b\\\\\\,c,O=example"',
    ...more,
  ].join(';');

const products: Record<TerminatorName, Product> = {
  nginx: ({ leaf, verified }) => ({
    'ssl-client-cert': unreserved(pem(leaf)),
    'ssl-client-verify': verified ? 'SUCCESS' : 'FAILED:unable to verify the first certificate',
    'ssl-client-subject-dn': 'CN=anybody',
    'ssl-client-issuer-dn': 'CN=anybody',
  }),
  traefik: ({ leaf, chain }) => ({
    'x-forwarded-tls-client-cert': [leaf, ...chain].map(base64).join(','),
    'x-forwarded-tls-client-cert-info': 'Subject%3D%22CN%3Danybody%22',
  }),
  haproxy: ({ leaf }) => ({
    'x-ssl-client-cn': 'anybody',
    'x-ssl-client-dn': '/CN=anybody',
    'x-ssl-client-sha1': '00',
    'x-ssl-client-cert': base64(leaf),
  }),
  openshift: ({ leaf, verified }) => ({
    'x-ssl-client-verify': verified ? '0' : '20',
    'x-ssl-client-dn': '/CN=anybody',
    'x-ssl-client-der': base64(leaf),
  }),
  envoy: ({ leaf, chain }) => ({
    'x-forwarded-client-cert': envoyElement(leaf, chain, ['URI=https://example.test/?a=b', 'URI=', 'DNS=a', 'DNS=b']),
  }),
  'aws-alb': ({ leaf }) => ({
    'x-amzn-mtls-clientcert-leaf': aws(pem(leaf)),
    'x-amzn-mtls-clientcert-subject': 'CN=anybody',
  }),
  'aws-alb-passthrough': ({ leaf, chain }) => ({ 'x-amzn-mtls-clientcert': aws([leaf, ...chain].map(pem).join('')) }),
  'google-cloud': (presented) => {
    const { 'client-cert': leaf, 'client-cert-chain': chain = '' } = clientCertFields({
      der: presented.leaf,
      chain: presented.chain,
    });
    return {
      'x-client-cert-present': 'true',
      'x-client-cert-chain-verified': String(presented.verified),
      'x-client-cert-leaf': leaf,
      'x-client-cert-chain': chain,
    };
  },
  cloudflare: (presented) => ({ ...cloudflare(presented), ...rfc9440(presented) }),
  'cloudflare-der': (presented) => ({
    ...cloudflare(presented),
    'cf-client-cert-der-base64': base64(presented.leaf),
    'cf-client-cert-sha256': createHash('sha256').update(presented.leaf).digest('hex'),
  }),
  rfc9440,
};

/** Which send the rest of the chain too. */
export const SENDS_CHAIN: ReadonlySet<TerminatorName> = new Set<TerminatorName>([
  'traefik',
  'envoy',
  'aws-alb-passthrough',
  'google-cloud',
  'cloudflare',
  'rfc9440',
]);

export function sentBy(
  terminator: TerminatorName,
  leaf: Buffer,
  { chain = [], verified = true }: { chain?: readonly Buffer[]; verified?: boolean } = {},
): HeaderLines {
  const lines = Object.entries(products[terminator]({ leaf, chain, verified }));
  return Object.fromEntries(lines.map(([name, value]) => [name, [value]]));
}
