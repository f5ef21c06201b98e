/**
 * oidc-provider 9 as an authorization server with RFC 8705 (both methods), 7591 and 7592, behind a TLS terminator. The
 * client certificate comes from the terminator's header alone.
 */
import { randomUUID, type X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIP } from 'node:net';
import type { Server } from 'node:net';
import { createLocalJWKSet, exportJWK, generateKeyPair, type JWTVerifyGetKey } from 'jose';
import { type Context, errors, Provider } from 'oidc-provider';
import { type CertificateVerification, decodeCertificateHeader } from '../../src/verifier/certificate-header.ts';
import type { TerminatorName } from '../../src/verifier/terminators.ts';
import { AuthorizationServerStore, ForgetfulClients, StoreAdapter } from './authorization-server-store.ts';
import { certificateSubjectMatches } from './certificate-subject.ts';
import { answer, type Fault, type ReceivedRequest } from './fault.ts';
import { interact } from './interaction.ts';
import { listen } from './listen.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { verifiedBy } from './verified-by.ts';

export interface AuthorizationServerOptions {
  /** The browser host at the terminator, such as https://as.example.test:8443. */
  issuer: string;
  /** Origin of the host with client authentication, for `mtls_endpoint_aliases`; without it none are published. */
  mtlsOrigin?: string;
  /** Origin of the host in `request` mode, where the terminator verifies nothing: for self_signed_tls_client_auth. */
  selfSignedOrigin?: string;
  /** Whose header has the client's certificate. Default nginx. */
  terminator?: TerminatorName;
  /** Of the backend on 127.0.0.1. Default: a free one. */
  port?: number;
  /** The backend's own TLS. Default: plain HTTP. */
  tls?: KeyPairPem;
  /** Required as bearer token at registration; `true`: one of `newInitialAccessToken()`. Default: registration is open. */
  initialAccessToken?: string | true;
  /** Whether clients may be registered at all. Default true. */
  registration?: boolean;
  /** Whether an update replaces the registration access token, asked at each. Default true, as oidc-provider's. */
  rotateRegistrationAccessToken?: boolean | (() => boolean);
  /** Whether a read replaces it too, as some products do. Default false. */
  rotateRegistrationAccessTokenOnRead?: boolean;
  /** In seconds. Default 300. */
  accessTokenTTL?: number;
  /** Default: none, and both of RFC 8705. */
  authenticationMethods?: readonly string[];
  /** Default: a new one. */
  store?: AuthorizationServerStore;
  /** Goes into the discovery document as it is. */
  discovery?: Readonly<Record<string, unknown>>;
  /** How it reads a client's jwks_uri. Default: global fetch. */
  fetch?: typeof globalThis.fetch;
  /** How long it keeps what it read there. Default: oidc-provider's, 60 seconds or more. */
  keySetCacheSeconds?: number;
  fault?: Fault;
}

export interface AuthorizationServer {
  readonly issuer: string;
  readonly port: number;
  /** The resource of JWT access tokens, which is the default one. */
  readonly resource: string;
  /** The resource whose access tokens are opaque, for introspection. */
  readonly opaqueResource: string;
  readonly store: AuthorizationServerStore;
  /** The server's verification keys. */
  readonly jwks: JWTVerifyGetKey;
  /** Metadata of the registered clients, client_id among it. */
  clients(): Record<string, unknown>[];
  /** How many clients are registered. */
  count(): number;
  /** Good for as many clients as one likes, for so long. */
  newInitialAccessToken(seconds: number): Promise<string>;
  /** Requests by method and route, such as `PUT /reg/:id` or `POST /token`. */
  requests(): Map<string, number>;
  /** Believes certificates that no terminator verified, for tls_client_auth too: a server that is set up wrongly. */
  trustUnverified(trust: boolean): void;
  /** Sets the fault for requests from now on; undefined ends it. */
  setFault(fault: Fault | undefined): void;
  stop(): Promise<void>;
}

const RESOURCE = 'urn:example:api';
const OPAQUE_RESOURCE = 'urn:example:opaque-api';
const SCOPE = 'accounts:read accounts:write';
const ALIASED = {
  token_endpoint: '/token',
  introspection_endpoint: '/token/introspection',
  revocation_endpoint: '/token/revocation',
  pushed_authorization_request_endpoint: '/request',
  // Nobody knows this one, and everybody must ignore it (RFC 8705 §5).
  unknown_endpoint: '/unknown',
};

/** What the terminator says of the caller's certificate. Only the terminator reaches the backend's loopback port. */
function presentedCertificate(
  request: IncomingMessage,
  terminator: TerminatorName,
  verification: CertificateVerification,
): X509Certificate | undefined {
  const peer = request.socket.remoteAddress ?? '';
  if (isIP(peer) === 0 || !['127.0.0.1', '::ffff:127.0.0.1', '::1'].includes(peer)) return undefined;
  const decoded = decodeCertificateHeader(request.headersDistinct, { terminator, verification });
  return decoded.ok ? decoded.certificate : undefined;
}

interface Trust {
  unverified: boolean;
}

function mutualTls({ selfSignedOrigin, terminator = 'nginx' }: AuthorizationServerOptions, trust: Trust) {
  const selfSignedHost = selfSignedOrigin === undefined ? undefined : new URL(selfSignedOrigin).host;
  const onSelfSignedHost = ({ req }: Context) =>
    selfSignedHost !== undefined && req.headers['x-forwarded-host'] === selfSignedHost;
  // oidc-provider asks several times in a request, and to read a certificate costs more than all the rest of it.
  const read = new WeakMap<IncomingMessage, X509Certificate | undefined>();
  const certificateOf = (context: Context) => {
    const { req } = context;
    if (!read.has(req)) {
      read.set(req, presentedCertificate(req, terminator, onSelfSignedHost(context) ? 'none' : verifiedBy(terminator)));
    }
    return read.get(req);
  };
  return {
    enabled: true,
    certificateBoundAccessTokens: true,
    selfSignedTlsClientAuth: true,
    tlsClientAuth: true,
    getCertificate(context: Context) {
      const certificate = certificateOf(context);
      if (certificate === undefined) return undefined;
      // Nobody else looks at the dates of a self-signed certificate: the terminator does not verify, nor does oidc-provider.
      const now = Date.now();
      const valid = now >= certificate.validFromDate.getTime() && now <= certificate.validToDate.getTime();
      return valid ? certificate : undefined;
    },
    certificateAuthorized: (context: Context) =>
      (trust.unverified || !onSelfSignedHost(context)) && certificateOf(context) !== undefined,
    certificateSubjectMatches(context: Context, property: string, expected: string) {
      const certificate = certificateOf(context);
      return certificate !== undefined && certificateSubjectMatches(certificate, property, expected);
    },
  };
}

async function createProvider(options: AuthorizationServerOptions, store: AuthorizationServerStore, trust: Trust) {
  const keys = await generateKeyPair('ES256', { extractable: true });
  const kid = randomUUID();
  const alg = 'ES256';
  const signing = { ...(await exportJWK(keys.privateKey)), kid, alg, use: 'sig' };
  const { mtlsOrigin } = options;
  const aliases = Object.entries(ALIASED).map(([name, path]) => [name, `${mtlsOrigin}${path}`]);
  const provider = new Provider(options.issuer, {
    adapter: (model) =>
      model === 'Client' && options.keySetCacheSeconds !== undefined
        ? new ForgetfulClients(store, model, options.keySetCacheSeconds)
        : new StoreAdapter(store, model),
    clientAuthMethods: options.authenticationMethods ?? ['tls_client_auth', 'self_signed_tls_client_auth', 'none'],
    jwks: { keys: [signing] },
    findAccount: (_context: Context, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
    cookies: { keys: [randomUUID()] },
    scopes: ['openid', 'offline_access', ...SCOPE.split(' ')],
    ttl: {
      ClientCredentials: options.accessTokenTTL ?? 300,
      AccessToken: options.accessTokenTTL ?? 300,
      IdToken: 300,
      RefreshToken: 3600,
      Grant: 3600,
      Session: 3600,
      Interaction: 600,
    },
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    // With its defaults (RS256, authorization_code) every registration here would be 400.
    clientDefaults: {
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: alg,
    },
    discovery: {
      ...(mtlsOrigin === undefined ? {} : { mtls_endpoint_aliases: Object.fromEntries(aliases) }),
      ...options.discovery,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      // Any client that authenticated: resource servers are clients here.
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      registration: {
        enabled: options.registration ?? true,
        initialAccessToken: options.initialAccessToken ?? false,
      },
      registrationManagement: {
        enabled: options.registration ?? true,
        rotateRegistrationAccessToken: options.rotateRegistrationAccessToken ?? true,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo(_context: Context, resource: string) {
          if (resource === OPAQUE_RESOURCE) return { scope: SCOPE, audience: resource, accessTokenFormat: 'opaque' };
          if (resource !== RESOURCE) throw new errors.InvalidTarget();
          return { scope: SCOPE, audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg } } };
        },
      },
      mTLS: mutualTls(options, trust),
    },
  });
  // Its URLs are the terminator's, by X-Forwarded-Host and -Proto, which the terminator always sets.
  provider.proxy = true;
  return { provider, jwks: createLocalJWKSet({ keys: [{ ...(await exportJWK(keys.publicKey)), kid, alg }] }) };
}

/** RFC 7592 §3 lets every answer carry a new one. */
async function rotateOnRead(provider: Provider, context: Context, next: () => Promise<void>): Promise<void> {
  await next();
  if (context.method !== 'GET' || !context.path.startsWith('/reg/') || context.status !== 200) return;
  const { client, entities } = context.oidc;
  const renewed = new provider.RegistrationAccessToken({ client });
  await entities.RegistrationAccessToken?.destroy();
  context.body = { ...Object(context.body), registration_access_token: await renewed.save() };
}

export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const store = options.store ?? new AuthorizationServerStore();
  const trust: Trust = { unverified: false };
  const { provider, jwks } = await createProvider(options, store, trust);
  const requests = new Map<string, number>();
  let { fault } = options;
  provider.use(async (context, next) => {
    const request: ReceivedRequest = {
      method: context.method,
      route: context.path.replace(/^\/(reg|interaction|auth)\/.+/, '/$1/:id'),
      path: context.path,
      host: context.get('x-forwarded-host'),
    };
    const name = `${request.method} ${request.route}`;
    requests.set(name, (requests.get(name) ?? 0) + 1);
    const wrong = await fault?.(request);
    if (wrong === undefined && (await interact(provider, context))) return;
    await answer(context, next, wrong);
  });
  if (options.rotateRegistrationAccessTokenOnRead === true) {
    provider.use((context, next) => rotateOnRead(provider, context, next));
  }
  const listener = provider.callback();
  const server: Server =
    options.tls === undefined
      ? createServer((request, response) => void listener(request, response))
      : createTlsServer(
          { cert: options.tls.certPem, key: options.tls.keyPem },
          (request, response) => void listener(request, response),
        );
  const listening = await listen(server, options.port);
  return {
    issuer: options.issuer,
    port: listening.port,
    resource: RESOURCE,
    opaqueResource: OPAQUE_RESOURCE,
    store,
    jwks,
    clients: () => store.clients(),
    count: () => store.clients().length,
    newInitialAccessToken: (expiresIn) => new provider.InitialAccessToken({ expiresIn }).save(),
    requests: () => new Map(requests),
    trustUnverified(believed) {
      trust.unverified = believed;
    },
    setFault(next) {
      fault = next;
    },
    stop: () => listening.stop(),
  };
}
