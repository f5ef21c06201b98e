/**
 * Which header each TLS terminator puts the client certificate into, and how. Headers with a DN are in none of the rows:
 * products write one and the same name differently, and the certificate has it.
 */
import { type Certificates, decodeBase64Der, decodeBase64DerList } from './base64-der.ts';
import { decodeClientCert } from './client-cert.ts';
import { decodeAwsPem, decodeAwsPemChain, decodeEscapedPem } from './escaped-pem.ts';
import { xfccDecoder } from './xfcc.ts';

export interface VerificationHeader {
  /** Lower case. */
  header: string;
  /** What it says of a certificate whose chain was verified. */
  verified: (value: string) => boolean;
  /** What it says of a certificate that came at all, so that its key was proved in the handshake. */
  presented: (value: string) => boolean;
}

export interface TerminatorHeaders {
  /** The header with the client's own certificate, lower case. Where the product has no fixed name, its documentation's. */
  certificate: string;
  decode: (line: string) => Certificates;
  /** The header with the rest of the chain as RFC 9440 §2.3 has it, lower case, where that is one of its own. */
  chain?: string;
  /** In characters of a line. Default 16,384. */
  longest?: number;
  /**
   * Where the request says whether the certificate was verified: in all of these headers; or nowhere, since it is the
   * terminator's configuration that decides; or never, since this terminator verifies nothing.
   */
  verification: readonly VerificationHeader[] | 'byConfiguration' | 'never';
  /** Where the product says so. */
  source: string;
}

/** For lines with whole chains. */
const WITH_CHAIN = 65_536;

const oneOf =
  (...values: readonly string[]) =>
  (value: string): boolean =>
    values.includes(value);

const boolean = (header: string, good: 'true' | 'false'): VerificationHeader => ({
  header,
  verified: oneOf(good),
  presented: oneOf('true', 'false'),
});

const nginxVerify: VerificationHeader = {
  header: 'ssl-client-verify',
  verified: oneOf('SUCCESS'),
  presented: (value) => value === 'SUCCESS' || value.startsWith('FAILED:'),
};

/** A revoked certificate is a verified one there. */
const cloudflareVerify = [boolean('cf-cert-verified', 'true'), boolean('cf-cert-revoked', 'false')];

export const terminators = {
  nginx: {
    certificate: 'ssl-client-cert',
    decode: decodeEscapedPem,
    verification: [nginxVerify],
    source:
      'ingress-nginx rootfs/etc/nginx/template/nginx.tmpl, auth-tls-pass-certificate-to-upstream; nginx ngx_http_ssl_module, $ssl_client_escaped_cert; Traefik 3.7, provider kubernetesIngressNGINX, the same',
  },
  traefik: {
    certificate: 'x-forwarded-tls-client-cert',
    decode: decodeBase64DerList,
    longest: WITH_CHAIN,
    verification: 'byConfiguration',
    source: 'Traefik 2.9.4 and newer, middleware passTLSClientCert, pem',
  },
  haproxy: {
    certificate: 'x-ssl-client-cert',
    decode: decodeBase64Der,
    verification: 'byConfiguration',
    source:
      'haproxy-ingress configuration keys, auth-tls-cert-header; HAProxy itself with http-request set-header X-SSL-Client-Cert %[ssl_c_der,base64]',
  },
  openshift: {
    certificate: 'x-ssl-client-der',
    decode: decodeBase64Der,
    // Also 0 where no certificate came, which the other header shows.
    verification: [
      { header: 'x-ssl-client-verify', verified: oneOf('0'), presented: (value) => /^\d{1,3}$/.test(value) },
    ],
    source: 'openshift/router images/router/haproxy/conf/haproxy-config.template',
  },
  envoy: {
    certificate: 'x-forwarded-client-cert',
    decode: xfccDecoder(1),
    longest: WITH_CHAIN,
    verification: 'byConfiguration',
    source:
      'Envoy, HTTP header manipulation, x-forwarded-client-cert, with forward_client_cert_details SANITIZE_SET and cert or chain of set_current_client_cert_details; so Envoy Gateway, Contour, Istio',
  },
  'aws-alb': {
    certificate: 'x-amzn-mtls-clientcert-leaf',
    decode: decodeAwsPem,
    verification: 'byConfiguration',
    source: 'Application Load Balancers user guide, Mutual authentication with TLS, verify mode',
  },
  'aws-alb-passthrough': {
    certificate: 'x-amzn-mtls-clientcert',
    decode: decodeAwsPemChain,
    longest: WITH_CHAIN,
    verification: 'never',
    source: 'Application Load Balancers user guide, Mutual authentication with TLS, passthrough mode',
  },
  'google-cloud': {
    certificate: 'x-client-cert-leaf',
    decode: decodeClientCert,
    chain: 'x-client-cert-chain',
    verification: [boolean('x-client-cert-chain-verified', 'true')],
    source:
      'Cloud Load Balancing, Mutual TLS custom headers, {client_cert_leaf}, {client_cert_chain}, {client_cert_chain_verified}; so GKE',
  },
  cloudflare: {
    certificate: 'client-cert',
    decode: decodeClientCert,
    chain: 'client-cert-chain',
    verification: cloudflareVerify,
    source:
      'Cloudflare, Forward a client certificate, cf.tls_client_auth.cert_rfc9440; Managed Transforms, Add TLS client auth headers',
  },
  'cloudflare-der': {
    certificate: 'cf-client-cert-der-base64',
    decode: decodeBase64Der,
    verification: cloudflareVerify,
    source:
      'Cloudflare, Forward a client certificate, client_certificate_forwarding; Managed Transforms, Add TLS client auth headers',
  },
  rfc9440: {
    certificate: 'client-cert',
    decode: decodeClientCert,
    chain: 'client-cert-chain',
    verification: 'byConfiguration',
    source: 'RFC 9440 §2; HAProxy with http-request set-header Client-Cert :%[ssl_c_der,base64]:',
  },
} satisfies Record<string, TerminatorHeaders>;

export type TerminatorName = keyof typeof terminators;
