/**
 * nginx.conf as rootfs/etc/nginx/template/nginx.tmpl of ingress-nginx 1.15 renders it, less its Lua: the certificate is a
 * file, the redirect to https and the choice of an upstream are plain directives. Pure.
 */
import { createHash } from 'node:crypto';
import type { ClientAuthentication, HostModel, IngressModel, LocationModel } from './ingress-model.ts';
import type { AccessLogEntry, TerminatorFiles, TerminatorOptions } from './terminator.ts';

export interface NginxConfigurationOptions extends TerminatorOptions {
  /** As root, nginx would drop to a user that cannot read our folder. */
  user?: string;
}

export const WORKERS = 2;

const ACCESS_LOG_FORMAT: Record<keyof AccessLogEntry, string> = {
  time: '$msec',
  host: '$host',
  sni: '$ssl_server_name',
  method: '$request_method',
  uri: '$uri',
  status: '$status',
  upstreamStatus: '$upstream_status',
  verify: '$ssl_client_verify',
  clientSerial: '$ssl_client_serial',
  sessionReused: '$ssl_session_reused',
};

const indent = (lines: readonly string[], by: number): string[] => lines.map((line) => ' '.repeat(by) + line);
/** ingress-nginx quotes with Go's %q; what cannot be quoted safely for nginx has no place in a test's Ingress. */
const quote = (value: string): string => {
  if (/["\\$\n\r{};]/.test(value)) throw new Error(`not a value for nginx.conf: ${JSON.stringify(value)}`);
  return `"${value}"`;
};

class Files {
  readonly map = new Map<string, string>();
  add(kind: string, content: string, extension = 'pem'): string {
    const name = `ssl/${kind}-${createHash('sha256').update(content).digest('hex').slice(0, 24)}.${extension}`;
    this.map.set(name, content);
    return name;
  }
}

/** nginx resolves a name once, to both families; a backend of a test listens on one. */
const addressOf = (host: string): string => (host === 'localhost' ? '127.0.0.1' : host);

const serverName = (hostname: string): string =>
  hostname.startsWith('*.') ? `"~^(?<subdomain>[\\w-]+)\\.${hostname.slice(2).replaceAll('.', '\\.')}$"` : hostname;

function clientAuthenticationLines(auth: ClientAuthentication, files: Files): string[] {
  return [
    `ssl_client_certificate ${files.add('ca', auth.ca)};`,
    `ssl_verify_client ${auth.verify};`,
    `ssl_verify_depth ${auth.depth};`,
    ...(auth.crl === undefined ? [] : [`ssl_crl ${files.add('crl', auth.crl)};`]),
    ...(auth.errorPage === undefined ? [] : [`error_page 495 496 = ${quote(auth.errorPage)};`]),
  ];
}

function locationLines(location: LocationModel, host: HostModel, options: NginxConfigurationOptions): string[] {
  const auth = host.clientAuthentication;
  const { backend } = location;
  const redirect = host.redirectToHttps
    ? [`if ($scheme = http) { return 308 https://$host:${options.httpsPort}$request_uri; }`]
    : [];
  if (backend === undefined) return [...redirect, 'return 503;'];
  return [
    ...redirect,
    'proxy_set_header Host $http_host;',
    // Pass the extracted client certificate to the backend
    ...(auth?.passCertificate === true ? ['proxy_set_header ssl-client-cert $ssl_client_escaped_cert;'] : []),
    ...(auth === undefined
      ? []
      : [
          'proxy_set_header ssl-client-verify $ssl_client_verify;',
          'proxy_set_header ssl-client-subject-dn $ssl_client_s_dn;',
          'proxy_set_header ssl-client-issuer-dn $ssl_client_i_dn;',
        ]),
    'proxy_set_header Upgrade $http_upgrade;',
    'proxy_set_header Connection $connection_upgrade;',
    'proxy_set_header X-Request-ID $request_id;',
    'proxy_set_header X-Real-IP $remote_addr;',
    'proxy_set_header X-Forwarded-For $remote_addr;',
    'proxy_set_header X-Forwarded-Host $http_host;',
    'proxy_set_header X-Forwarded-Port $server_port;',
    'proxy_set_header X-Forwarded-Proto $scheme;',
    'proxy_set_header X-Forwarded-Scheme $scheme;',
    'proxy_set_header X-Scheme $scheme;',
    'proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;',
    'proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;',
    'proxy_set_header Proxy "";',
    // Custom headers to proxied server
    ...Object.entries(options.proxySetHeaders ?? {}).map(
      ([name, value]) => `proxy_set_header ${name} ${quote(value)};`,
    ),
    'proxy_connect_timeout 5s;',
    'proxy_send_timeout 60s;',
    'proxy_read_timeout 60s;',
    'proxy_buffering off;',
    'proxy_buffer_size 4k;',
    'proxy_buffers 4 4k;',
    'proxy_request_buffering on;',
    'proxy_http_version 1.1;',
    'proxy_next_upstream error timeout;',
    'proxy_next_upstream_tries 3;',
    `proxy_pass ${backend.protocol}://${addressOf(backend.host)}:${backend.port};`,
    'proxy_redirect off;',
  ];
}

/** A prefix matches whole path elements only: `/a` is `= /a` and `/a/`. */
function matchersOf(location: LocationModel): string[] {
  if (location.exact) return [`= ${quote(location.path)}`];
  if (location.path === '/') return [quote('/')];
  const path = location.path.replace(/\/+$/, '');
  return [quote(`${path}/`), `= ${quote(path)}`];
}

function serverLines(host: HostModel, options: NginxConfigurationOptions, files: Files): string[] {
  const pair = host.tls ?? options.fakeCertificate;
  const isDefault = host.hostname === '_' ? ' default_server' : '';
  const body = [
    `server_name ${serverName(host.hostname)};`,
    `listen ${options.address}:${options.httpPort}${isDefault};`,
    `listen ${options.address}:${options.httpsPort}${isDefault} ssl http2;`,
    `ssl_certificate ${files.add('tls', pair.certificate)};`,
    `ssl_certificate_key ${files.add('key', pair.key)};`,
  ];
  if (host.denied !== undefined) {
    body.push(`# ${host.denied.replaceAll(/[^\x20-\x7e]/g, '?')}`, 'return 403;');
  } else {
    if (host.clientAuthentication !== undefined)
      body.push(...clientAuthenticationLines(host.clientAuthentication, files));
    for (const location of host.locations) {
      for (const matcher of matchersOf(location)) {
        body.push(`location ${matcher} {`, ...indent(locationLines(location, host, options), 2), '}');
      }
    }
  }
  return [`# start server ${host.hostname}`, 'server {', ...indent(body, 2), '}'];
}

/** What is served for no host of an Ingress, and for connections without SNI; Ingresses without a host are served here. */
function defaultServer(model: IngressModel, options: NginxConfigurationOptions, files: Files): string[] {
  const { address, httpPort, httpsPort } = options;
  if (options.rejectHandshake === false) {
    const hostless = model.hosts.find(({ hostname }) => hostname === '_');
    return serverLines(hostless ?? { hostname: '_', redirectToHttps: false, locations: [] }, options, files);
  }
  return [
    '# start server _',
    'server {',
    '  server_name _;',
    `  listen ${address}:${httpPort} default_server;`,
    `  listen ${address}:${httpsPort} default_server ssl http2;`,
    '  ssl_reject_handshake on;',
    '  location "/" { return 404; }',
    '}',
  ];
}

export function renderNginxConfiguration(model: IngressModel, options: NginxConfigurationOptions): TerminatorFiles {
  const files = new Files();
  const logFormat = Object.entries(ACCESS_LOG_FORMAT).map(([name, value]) => `"${name}":"${value}"`);
  const http = [
    'client_body_temp_path tmp/body;',
    'proxy_temp_path tmp/proxy;',
    'fastcgi_temp_path tmp/fastcgi;',
    'uwsgi_temp_path tmp/uwsgi;',
    'scgi_temp_path tmp/scgi;',
    `log_format requests escape=json '{${logFormat.join(',')}}';`,
    'access_log access.log requests;',
    'keepalive_timeout 75s;',
    'keepalive_requests 1000;',
    'client_header_buffer_size 1k;',
    'client_header_timeout 60s;',
    'large_client_header_buffers 4 8k;',
    'client_body_buffer_size 8k;',
    'client_body_timeout 60s;',
    'client_max_body_size 1m;',
    'underscores_in_headers off;',
    'ignore_invalid_headers on;',
    'reset_timedout_connection on;',
    'server_tokens off;',
    'server_names_hash_bucket_size 128;',
    'map $http_upgrade $connection_upgrade { default upgrade; "" ""; }',
    'ssl_protocols TLSv1.2 TLSv1.3;',
    'ssl_early_data off;',
    ...(options.sessionCache === false ? [] : ['ssl_session_cache shared:SSL:10m;', 'ssl_session_timeout 10m;']),
    'ssl_session_tickets off;',
    'ssl_buffer_size 4k;',
    'ssl_prefer_server_ciphers on;',
    'ssl_ecdh_curve auto;',
    ...defaultServer(model, options, files),
    ...model.hosts.filter(({ hostname }) => hostname !== '_').flatMap((host) => serverLines(host, options, files)),
  ];
  const text = [
    ...(options.user === undefined ? [] : [`user ${options.user};`]),
    'daemon off;',
    'master_process on;',
    `worker_processes ${WORKERS};`,
    'worker_shutdown_timeout 240s;',
    'pid nginx.pid;',
    'lock_file nginx.lock;',
    // To the file that holds the master's stderr; `notice` has the workers' comings and goings.
    'error_log stderr notice;',
    'events { multi_accept on; worker_connections 1024; }',
    'http {',
    ...indent(http, 2),
    '}',
    '',
  ].join('\n');
  return { text, files: files.map };
}
