/**
 * haproxy.cfg and its crt-list as haproxy-ingress 0.16 renders them (rootfs/etc/templates/haproxy/haproxy.tmpl,
 * pkg/haproxy/config.go), for what concerns TLS and certificates; maps are plain conditions here, and its Lua services
 * `return`. Pure.
 */
import { createHash } from 'node:crypto';
import type { HostModel, IngressModel, LocationModel } from './ingress-model.ts';
import type { TerminatorFiles, TerminatorOptions } from './terminator.ts';

export interface HaproxyConfigurationOptions extends TerminatorOptions {
  /** Lines of `config-global` in the controller's ConfigMap. */
  configGlobal?: readonly string[];
  /** Of its `config-defaults`. */
  configDefaults?: readonly string[];
}

/** The controller's defaults: `ssl-options`, `ssl-ciphers`, `ssl-cipher-suites`. */
const SSL_OPTIONS = 'no-sslv3 no-tlsv10 no-tlsv11 no-tls-tickets';
const CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384';
const CIPHER_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
const CLIENT_HEADERS = ['CN', 'DN', 'SHA1', 'SHA2', 'Cert'].map((name) => `X-SSL-Client-${name}`);

const digest = (content: string): string => createHash('sha256').update(content).digest('hex').slice(0, 24);
const indent = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`);
const addressOf = (host: string): string => (host === 'localhost' ? '127.0.0.1' : host);

/** What cannot be written safely into haproxy.cfg has no place in a test's Ingress. */
const plain = (value: string): string => {
  if (!/^[\w./*:-]+$/.test(value)) throw new Error(`not a word for haproxy.cfg: ${JSON.stringify(value)}`);
  return value;
};

interface Backend {
  name: string;
  address: string;
  secure: boolean;
  redirect: boolean;
  /** Some host that leads here asks for certificates; then all set the headers, from whatever there is. */
  clientAuthentication: boolean;
  certificateHeader: boolean;
}

class Rendering {
  readonly files = new Map<string, string>();
  readonly backends = new Map<string, Backend>();
  readonly #options: HaproxyConfigurationOptions;

  constructor(options: HaproxyConfigurationOptions) {
    this.#options = options;
  }

  file(kind: string, content: string, extension = 'pem'): string {
    const name = `ssl/${kind}-${digest(content)}.${extension}`;
    this.files.set(name, content);
    return name;
  }

  /** The lines of the crt-list: the certificate, what is asked of clients, for which SNI. */
  crtList({ hosts }: IngressModel): string {
    const { certificate, key } = this.#options.fakeCertificate;
    const lines = [`${this.file('tls', certificate + key)} !*`];
    for (const { hostname, tls, clientAuthentication } of hosts) {
      const pair = tls ?? this.#options.fakeCertificate;
      const settings = ['alpn h2,http/1.1'];
      if (clientAuthentication !== undefined) {
        // The controller's own CA, whose key nobody has, stands in for one that is missing.
        const ca = this.file('ca', clientAuthentication.ca === '' ? certificate : clientAuthentication.ca);
        settings.push(`ca-file ${ca} verify optional`);
        if (clientAuthentication.crl !== undefined)
          settings.push(`crl-file ${this.file('crl', clientAuthentication.crl)}`);
      }
      settings.push(`ciphers ${CIPHERS}`, `ciphersuites ${CIPHER_SUITES}`);
      lines.push(`${this.file('tls', pair.certificate + pair.key)} [${settings.join(' ')}] ${plain(hostname)}`);
    }
    return this.file('crt', `${lines.join('\n')}\n`, 'list');
  }

  backendOf(host: HostModel, location: LocationModel): string {
    const { backend, ingress } = location;
    if (backend === undefined) return '_error503';
    const name = plain(`${ingress.replace('/', '_')}_${backend.host}_${backend.port}`);
    const before = this.backends.get(name);
    const auth = host.clientAuthentication;
    this.backends.set(name, {
      name,
      address: `${addressOf(backend.host)}:${backend.port}`,
      secure: backend.protocol === 'https',
      redirect: host.redirectToHttps || before?.redirect === true,
      clientAuthentication: auth !== undefined || before?.clientAuthentication === true,
      certificateHeader: auth?.passCertificate === true || before?.certificateHeader === true,
    });
    return name;
  }
}

/** `*.example.test` covers one label; what is named whole goes before it, as the map of names before that of patterns. */
const isWildcard = ({ hostname }: HostModel): boolean => hostname.startsWith('*.');
const matches = ({ hostname }: HostModel): string =>
  hostname.startsWith('*.')
    ? `-m reg ^[^.]+\\.${plain(hostname.slice(2)).replaceAll('.', '\\.')}$`
    : `-m str ${plain(hostname)}`;

function routes({ hosts }: IngressModel, rendering: Rendering): string[] {
  const ordered = hosts.toSorted((a, b) => Number(isWildcard(a)) - Number(isWildcard(b)));
  return ordered.flatMap((host) =>
    host.locations
      // The longest path first, and of equal ones the exact.
      .toSorted((a, b) => b.path.length - a.path.length || Number(b.exact) - Number(a.exact))
      .map((location) => {
        const path = plain(location.path.replace(/(?<=.)\/+$/, ''));
        const below = path === '/' ? '{ path_beg / }' : `{ path ${path} } || { path_beg ${path}/ }`;
        const [first, second] = (location.exact ? `{ path ${path} }` : below).split(' || ');
        const named = `{ var(req.host) ${matches(host)} }`;
        const conditions = [first, second].filter((each) => each !== undefined).map((each) => `${named} ${each}`);
        return `use_backend ${rendering.backendOf(host, location)} if ${conditions.join(' || ')}`;
      }),
  );
}

const readHost = 'http-request set-var(req.host) hdr(host),field(1,:),lower';
const deleteHeaders = CLIENT_HEADERS.map((name) => `http-request del-header ${name}`);

/** What stands between an accepted handshake and the backend: 495 and 496 as nginx has them, and 421. */
function clientAuthenticationLines({ hosts }: IngressModel): string[] {
  const asking = hosts.filter(({ clientAuthentication }) => clientAuthentication !== undefined);
  if (asking.length === 0) return [];
  const names = (verify: readonly string[]): string =>
    asking
      .filter(({ clientAuthentication }) => verify.includes(clientAuthentication?.verify ?? ''))
      .map(({ hostname }) => plain(hostname))
      .join(' ');
  const [needed, checked] = [names(['on']), names(['on', 'optional'])];
  const answer = (status: number): string =>
    `http-request return status ${status} content-type text/plain string "${status}\\n"`;
  const invalid = checked === '' ? [] : [`${answer(495)} if { var(req.tls_invalidcrt_redir) -m str _internal }`];
  return [
    'acl tls-has-crt ssl_c_used',
    ...(needed === ''
      ? []
      : [`acl tls-need-crt ssl_fc_sni -i -m str ${needed}`, `acl tls-host-need-crt var(req.host) -i -m str ${needed}`]),
    'acl tls-has-invalid-crt ssl_c_verify gt 0',
    ...(checked === '' ? [] : [`acl tls-check-crt ssl_fc_sni -i -m str ${checked}`]),
    ...(needed === '' ? [] : ['http-request set-var(req.tls_nocrt_redir) str(_internal) if !tls-has-crt tls-need-crt']),
    ...(checked === ''
      ? []
      : ['http-request set-var(req.tls_invalidcrt_redir) str(_internal) if tls-has-invalid-crt tls-check-crt']),
    `${answer(421)} if tls-has-crt { ssl_fc_has_sni } !{ ssl_fc_sni,strcmp(req.host) eq 0 }`,
    ...(needed === ''
      ? []
      : [
          `${answer(496)} if { var(req.tls_nocrt_redir) -m str _internal }`,
          `${answer(421)} if !tls-has-crt tls-host-need-crt`,
        ]),
    ...invalid,
  ];
}

function backendLines(backend: Backend): string[] {
  const { name, address, secure, redirect, clientAuthentication, certificateHeader } = backend;
  const header = (part: string, value: string): string =>
    `http-request set-header X-SSL-Client-${part} %{+Q}[${value}]`;
  return [
    `backend ${name}`,
    ...indent([
      ...(redirect ? ['acl https-request ssl_fc', 'http-request redirect scheme https if !https-request'] : []),
      ...(clientAuthentication
        ? [
            header('CN', 'ssl_c_s_dn(cn)'),
            header('DN', 'ssl_c_s_dn'),
            header('SHA1', 'ssl_c_sha1,hex'),
            ...(certificateHeader ? [header('Cert', 'ssl_c_der,base64')] : []),
          ]
        : []),
      `server srv001 ${address}${secure ? ' ssl verify none' : ''}`,
    ]),
  ];
}

const logFormat =
  '{"time":"%Ts.%ms","host":"%[var(txn.host)]","sni":"%[ssl_fc_sni]","method":"%HM","uri":"%HP","status":"%ST","verify":"%[ssl_c_verify]","clientSerial":"%[ssl_c_serial,hex]","sessionReused":"%[ssl_fc_is_resumed]"}';

export function renderHaproxyConfiguration(model: IngressModel, options: HaproxyConfigurationOptions): TerminatorFiles {
  const rendering = new Rendering(options);
  const known = { ...model, hosts: model.hosts.filter(({ hostname }) => hostname !== '_') };
  const to = routes(known, rendering);
  const remember = ['http-request set-var(txn.host) var(req.host)'];
  const text = [
    'global',
    ...indent([
      'stats socket unix@admin.sock level admin expose-fd listeners mode 600',
      'maxconn 2000',
      'log stderr len 8192 format raw local0',
      'hard-stop-after 15m',
      'tune.ssl.default-dh-param 2048',
      `ssl-default-bind-ciphers ${CIPHERS}`,
      `ssl-default-bind-ciphersuites ${CIPHER_SUITES}`,
      `ssl-default-bind-options ${SSL_OPTIONS}`,
      ...(options.configGlobal ?? []),
    ]),
    'defaults',
    ...indent([
      'mode http',
      'log global',
      `log-format '${logFormat}'`,
      'option redispatch',
      'option dontlognull',
      'option http-server-close',
      'option http-keep-alive',
      'timeout http-request 5s',
      'timeout connect 5s',
      'timeout client 50s',
      'timeout queue 5s',
      'timeout server 50s',
      'timeout http-keep-alive 1m',
      ...(options.configDefaults ?? []),
    ]),
    ...[...rendering.backends.values()].flatMap(backendLines),
    'backend _error404',
    ...indent(['http-request return status 404']),
    'backend _error503',
    ...indent(['http-request return status 503']),
    'frontend _front_http',
    ...indent([
      `bind ${options.address}:${options.httpPort}`,
      readHost,
      ...remember,
      'http-request set-header X-Forwarded-Proto http',
      ...deleteHeaders,
      'http-request del-header x-forwarded-for',
      'option forwardfor',
      ...to,
      'default_backend _error404',
    ]),
    'frontend _front_https',
    ...indent([
      `bind ${options.address}:${options.httpsPort} ssl alpn h2,http/1.1 crt-list ${rendering.crtList(known)} ca-ignore-err all crt-ignore-err all`,
      readHost,
      ...remember,
      'http-request set-header X-Forwarded-Proto https',
      ...deleteHeaders,
      'http-request del-header x-forwarded-for',
      'option forwardfor',
      ...clientAuthenticationLines(known),
      ...to,
      'default_backend _error404',
    ]),
    '',
  ].join('\n');
  return { text, files: rendering.files };
}
