import { z } from 'zod';
import { conditions, observedGeneration, pendingStatus } from './conditions.ts';
import {
  chosenClientId,
  durationText,
  exactlyOne,
  httpsUrl,
  immutable,
  nameRef,
  namespaceGrant,
  objectName,
  type Rule,
  rules,
  secretKeyRef,
  stringSet,
  subject,
} from './fields.ts';
import { dynamicRegistration } from './dynamic-registration.ts';
import { objectMeta } from './metadata.ts';
import { authMethod } from './oauth-client.ts';

const keycloak = z
  .object({
    adminURL: httpsUrl(
      'Where its Admin REST API is served, up to and without /admin. Default: the issuer up to /realms/.',
    ).optional(),
    clientId: z
      .string()
      .min(1)
      .max(255)
      .regex(/^[\x21-\x7e]+$/)
      .meta({
        description:
          'client_id (RFC 6749 §2.2) of the confidential client in the same realm whose service account has the role manage-clients of the client ' +
          'realm-management, and no other.',
      }),
    clientSecretRef: secretKeyRef('Its client_secret (RFC 6749 §2.3.1).').optional(),
    clientCertificateSecretRef: nameRef(
      'Its certificate (RFC 8705 §2.1): tls.crt and tls.key, such as an OAuthClient of the operator’s namespace publishes.',
      "Name of a Secret in the operator's namespace.",
    ).optional(),
    caSubject: z
      .enum(['UntilChanged', 'Always'])
      .meta({
        description:
          'Whether Keycloak is to compare the subject of the CA (x509.casubjectdn) of clients whose certificates have come from CAs of different names: ' +
          'UntilChanged (default): no more, for it knows the CAs of its start alone; Always: again, as soon as all certificates in use come from one. ' +
          'Write Always once Keycloak was restarted with that CA in its truststores, else it refuses the clients.',
      })
      .optional(),
  })
  .meta({
    description:
      'Registers by the Admin REST API of Keycloak, in the realm that the issuer names. Clients are known by their DN alone ' +
      '(tls_client_auth, RFC 8705 §2.1), and get the client_id <clusterId>.<namespace>.<name> where they choose none.',
    ...rules(
      exactlyOne(
        ['clientSecretRef', 'clientCertificateSecretRef'],
        'Write exactly one of clientSecretRef and clientCertificateSecretRef.',
      ),
    ),
  });

const mtlsEndpoints = z
  .object({
    tokenEndpoint: httpsUrl('Token endpoint (RFC 6749 §3.2) behind mutual TLS.').optional(),
    introspectionEndpoint: httpsUrl('Introspection endpoint (RFC 7662) behind mutual TLS.').optional(),
    revocationEndpoint: httpsUrl('Revocation endpoint (RFC 7009) behind mutual TLS.').optional(),
    pushedAuthorizationRequestEndpoint: httpsUrl(
      'Pushed authorization request endpoint (RFC 9126) behind mutual TLS.',
    ).optional(),
  })
  .meta({ description: 'Overrides mtls_endpoint_aliases of the discovery document (RFC 8705 §5).' });

const terminatorRef = z
  .object({
    group: z
      .enum(['networking.k8s.io', 'projectcontour.io', 'gateway.networking.k8s.io'])
      .meta({ description: 'API group of the object.' }),
    kind: z.enum(['Ingress', 'HTTPProxy', 'Gateway']).meta({ description: 'Kind of the object.' }),
    namespace: objectName('Namespace of the object.', 63),
    name: objectName('Name of the object.'),
  })
  .meta({
    description: 'An object that makes a TLS terminator serve one of the mTLS endpoints.',
    ...rules({
      rule: "self.kind == {'networking.k8s.io': 'Ingress', 'projectcontour.io': 'HTTPProxy', 'gateway.networking.k8s.io': 'Gateway'}[self.group]",
      message:
        'group and kind must fit: write networking.k8s.io with Ingress, projectcontour.io with HTTPProxy, or gateway.networking.k8s.io with Gateway.',
    }),
  });

const clients = z
  .object({
    namespaces: namespaceGrant('Namespaces whose teams may register clients here. Absent: none.').optional(),
    issuers: stringSet(
      z.string().min(1).max(253),
      16,
      'Names of the ClientCertificateIssuers whose certificates are trusted here. Their CAs, and no others, make up the terminators’ bundle.',
    ).optional(),
    methods: z
      .array(authMethod)
      .max(2)
      .meta({
        description: 'Allowed token_endpoint_auth_method values (RFC 8705 §2.1.1, §2.2.1). Absent: none.',
        'x-kubernetes-list-type': 'set',
      })
      .optional(),
    grantTypes: stringSet(
      z.string().min(1).max(128),
      16,
      'Allowed grant_types (RFC 7591 §2). Absent: none.',
    ).optional(),
    scopes: stringSet(
      z.string().min(1).max(256),
      256,
      'Allowed scope values (RFC 6749 §3.3). Absent: none.',
    ).optional(),
    redirectURIs: stringSet(
      z.string().min(1).max(2048),
      64,
      'Allowed redirect_uris (RFC 7591 §2): exact, or with a path that ends in /* for everything below it. Absent: none.',
    ).optional(),
    identityTemplates: z
      .array(
        subject(
          'An identity that a client may have, with {namespace}, {name} and {clusterId} in its values. The first is the default.',
        ),
      )
      .max(8)
      .meta({
        description: 'Identities that clients may have. Default: one, dn: CN={namespace}.{name},OU={clusterId}.',
        'x-kubernetes-list-type': 'atomic',
      })
      .optional(),
    clientIds: stringSet(
      z.string().min(1).max(255),
      64,
      'client_id values (RFC 6749 §2.2) that clients may choose, where the server lets them be named (keycloak): with {namespace}, {name} and {clusterId}, and ' +
        'a * at the end for any rest, e.g. {namespace}.*. Absent: none.',
    ).optional(),
    adoption: z
      .enum(['Never', 'IfMarked'])
      .meta({
        description:
          'The most that adoptionPolicy of clients may be: IfMarked (default), or Never: no client that is there already is taken over.',
      })
      .optional(),
    adoptable: z
      .array(
        z.object({
          clientId: chosenClientId(
            'client_id (RFC 6749 §2.2) of a client that is at the server, made by somebody else.',
          ),
          namespace: objectName('Namespace of the OAuthClient that may become it.', 63),
          name: objectName('Name of the OAuthClient that may become it.'),
        }),
      )
      .max(256)
      .meta({
        description:
          'Clients that were made by others and that an OAuthClient with that clientId may take over: from then on they authenticate by ' +
          'certificate alone, and are deleted with it. Absent: none.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['clientId'],
      })
      .optional(),
    withdrawalGracePeriod: durationText(
      'How long a client goes on working whose registration asks for something that is granted no longer; then it is deregistered. ' +
        'What an update can bring into line, such as a default scope, is updated at once. Default 24h; 0s for none.',
    ).optional(),
    requireBoundTokens: z
      .boolean()
      .meta({
        description:
          'Whether every client gets certificate-bound access tokens alone (RFC 8705 §3). Default true. With false a client may be ' +
          'registered for others by its tlsClientCertificateBoundAccessTokens: whoever gets hold of those can use them.',
      })
      .optional(),
    deletion: z
      .array(z.enum(['Delete', 'Orphan']))
      .max(2)
      .meta({ description: 'Allowed deletionPolicy values. Default: Delete alone.', 'x-kubernetes-list-type': 'set' })
      .optional(),
    deregistrationDeadline: durationText(
      'How long the deletion of an OAuthClient waits for the server to let the client go (RFC 7592 §2.3), at least 10s. After that the ' +
        'client is left behind there, which an event and a metric tell. Default: it waits for ever.',
    )
      .meta(
        rules({
          rule: "duration(self) >= duration('10s')",
          message: 'deregistrationDeadline must be at least 10s, e.g. 24h; leave it out to wait for ever.',
        }),
      )
      .optional(),
    recovery: z
      .enum(['Manual', 'Recreate'])
      .meta({
        description:
          'What happens when a registration is gone at the server or its answer was lost: Manual (default) reports it and waits; ' +
          'Recreate registers anew, with a new client_id (RFC 7591 §3.2.1).',
      })
      .optional(),
  })
  .meta({ description: 'What tenants may ask for here; deny by default.' });
export type ClientGrants = z.infer<typeof clients>;

/** Its clients are registered there, under rights that another server, or another installation, does not have. */
const SECOND_SERVER =
  'Create a second AuthorizationServer, move the clients to it by second OAuthClients, then delete this one.';

const waySensible: readonly Rule[] = [
  {
    rule: '!has(self.caBundle) || !has(self.caBundleRef)',
    message: 'Write caBundle or caBundleRef, not both.',
  },
  {
    rule: "!has(self.proxyCredentialsSecretRef) || (has(self.proxyURL) && self.proxyURL.startsWith('https://'))",
    message:
      'Write a proxyURL that begins with https:// where there is a proxyCredentialsSecretRef: over http the password would be readable on the way.',
  },
];

const spec = z
  .object({
    controllerName: z
      .string()
      .min(1)
      .max(253)
      .meta({
        description: 'The Certbound installation that acts on this object. Default: certbound.dev/operator. Immutable.',
      })
      .optional(),
    issuer: httpsUrl('Issuer identifier (RFC 8414 §2); metadata is discovered from it.'),
    dynamicRegistration: dynamicRegistration.optional(),
    keycloak: keycloak.optional(),
    caBundle: z
      .string()
      .max(131072)
      .meta({
        description: "CA certificates (PEM) that vouch for the server's own TLS certificate. Default: the system's.",
      })
      .optional(),
    caBundleRef: z
      .object({
        kind: z.enum(['ConfigMap', 'Secret']).meta({ description: 'Kind of the object.' }),
        name: objectName("Name of a ConfigMap or Secret in the operator's namespace."),
        key: z
          .string()
          .min(1)
          .max(253)
          .regex(/^[-._a-zA-Z0-9]+$/)
          .meta({ description: 'Key of its data.' }),
      })
      .meta({
        description:
          'Where to read the CA certificates (PEM, at most 128 KiB) instead of caBundle. A change takes effect by itself, in published ' +
          'Secrets (ca.crt) too; while the object is missing or damaged, what was read before stays in use.',
      })
      .optional(),
    proxyURL: z
      .string()
      .min(8)
      .max(512)
      .regex(/^https?:\/\/[^\s#@?/]+\/?$/)
      .meta({
        description:
          'A proxy through which the operator reaches this server, by CONNECT (RFC 9110 §9.3.6). An http or https URL of host and port alone. ' +
          'The proxy resolves host names, unless connectTo has their addresses. Default: none; environment variables are not looked at.',
      })
      .optional(),
    proxyCredentialsSecretRef: z
      .object({ name: objectName("Name of a Secret in the operator's namespace, of type kubernetes.io/basic-auth.") })
      .meta({ description: 'The credentials that the proxy wants (RFC 7617): its keys username and password.' })
      .optional(),
    connectTo: z
      .array(
        z.object({
          host: z.string().min(1).max(253).meta({ description: 'Host name of an endpoint.' }),
          addresses: stringSet(z.string().min(2).max(45), 16, 'IP addresses to connect to.'),
        }),
      )
      .max(16)
      .meta({
        description:
          'Addresses to use for a host instead of what DNS answers: for split-horizon DNS, and to prove every replica of a terminator by itself.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['host'],
      })
      .optional(),
    mtlsEndpoints: mtlsEndpoints.optional(),
    accessTokenLifetime: durationText(
      'The longest access token life, a lower bound for drains. Default: what token responses say.',
    ).optional(),
    rateLimit: z
      .object({
        requestsPerSecond: z
          .int32()
          .min(1)
          .max(1000)
          .meta({
            description: 'Requests a second, registrations, proofs and discovery together. Default 100.',
            format: 'int32',
          })
          .optional(),
        burst: z
          .int32()
          .min(1)
          .max(10_000)
          .meta({
            description: 'Requests that may be sent at once after a rest. Default: those of two seconds.',
            format: 'int32',
          })
          .optional(),
      })
      .meta({
        description:
          'What the operator asks of this server at most. Of its clients no more than requestsPerSecond are worked on at the same time.',
      })
      .optional(),
    propagation: durationText(
      'How long a change may take to reach every terminator; within it a refused proof call means only: not yet. Default 60s.',
    ).optional(),
    verifyInterval: durationText('How often a published certificate is proved again. Default 6h.')
      .meta(
        rules({
          rule: "duration(self) >= duration('1m')",
          message: 'verifyInterval must be at least 1m.',
        }),
      )
      .optional(),
    defaultIssuerRef: nameRef('The issuer of clients that name none.', 'Name of a ClientCertificateIssuer.').optional(),
    terminators: z
      .array(terminatorRef)
      .max(16)
      .meta({
        description:
          'The TLS terminators in front of the mTLS endpoints; a certificate is published only when each trusts it.',
        'x-kubernetes-list-type': 'atomic',
      })
      .optional(),
    trustBundle: z
      .object({ namespace: objectName('Namespace of the Secret: where the server reads it from.', 63) })
      .meta({
        description:
          'Publishes the CAs of clients.issuers to a Secret <name>-client-cas (key ca.crt, PEM), for a server that validates client ' +
          'certificates itself, such as Keycloak. It follows every change of them; a certificate of a new CA is used only propagation later.',
      })
      .optional(),
    clients: clients.optional(),
    resourceServers: z
      .object({
        namespaces: namespaceGrant(
          'Namespaces whose Ingresses, HTTPProxies and Gateways may ask for client certificates of this server’s clients. Absent: none.',
        ).optional(),
      })
      .meta({ description: 'Who may protect APIs with this server’s certificate-bound tokens; deny by default.' })
      .optional(),
  })
  .meta({
    description: 'What the platform team sets up.',
    ...rules(
      exactlyOne(
        ['dynamicRegistration', 'keycloak'],
        'Write exactly one of dynamicRegistration and keycloak, to say how clients are registered.',
      ),
      {
        rule: 'has(self.dynamicRegistration) == has(oldSelf.dynamicRegistration)',
        message: `How clients are registered is immutable: each way keeps what the other can't read. ${SECOND_SERVER}`,
        reason: 'FieldValueForbidden',
      },
      {
        rule: "!has(self.keycloak) || self.issuer.matches('/realms/[^/]+$')",
        message:
          'With keycloak the issuer names the realm: write https://<host>/realms/<realm>, without a trailing slash.',
      },
      immutable('issuer', SECOND_SERVER),
      immutable('controllerName', SECOND_SERVER),
      ...waySensible,
    ),
  });
export type AuthorizationServerSpec = z.infer<typeof spec>;

const endpoints = z.object({
  tokenEndpoint: z
    .string()
    .max(2048)
    .meta({ description: 'token_endpoint for certificate-bound clients (RFC 8705 §5).' }),
  registrationEndpoint: z.string().max(2048).meta({ description: 'registration_endpoint (RFC 7591).' }).optional(),
  introspectionEndpoint: z.string().max(2048).meta({ description: 'introspection_endpoint (RFC 7662).' }).optional(),
  revocationEndpoint: z.string().max(2048).meta({ description: 'revocation_endpoint (RFC 7009).' }).optional(),
  pushedAuthorizationRequestEndpoint: z
    .string()
    .max(2048)
    .meta({ description: 'pushed_authorization_request_endpoint (RFC 9126).' })
    .optional(),
});

const status = z
  .object({
    observedGeneration: observedGeneration('The metadata.generation this status speaks of.'),
    endpoints: endpoints
      .meta({ description: 'Endpoints in effect: discovered, with mTLS aliases and overrides applied.' })
      .optional(),
    capabilities: z
      .object({
        authMethods: stringSet(
          z.string().max(64),
          16,
          'token_endpoint_auth_methods_supported (RFC 8414 §2).',
        ).optional(),
        certificateBoundTokens: z
          .boolean()
          .meta({ description: 'tls_client_certificate_bound_access_tokens (RFC 8705 §3.3).' }),
        grantTypes: stringSet(
          z.string().max(128),
          32,
          'grant_types_supported (RFC 8414 §2), where it says.',
        ).optional(),
        responseTypes: stringSet(
          z.string().max(64),
          32,
          'response_types_supported (RFC 8414 §2), where it says.',
        ).optional(),
        bindsRefreshTokens: z
          .boolean()
          .meta({
            description:
              'Whether refresh tokens of confidential clients end with the certificate that they were issued for. Absent: not known.',
          })
          .optional(),
      })
      .meta({ description: 'What the server says it can do, and what is known of its kind.' })
      .optional(),
    caBundle: z
      .string()
      .max(131072)
      .meta({ description: 'CA certificates (PEM) in use, where caBundleRef says where to read them.' })
      .optional(),
    conditions: conditions(
      'Ready, Discovered; TrustBundlePublished where there is a trustBundle; Reachable and Deletable while they are False, Authorized while it is unknown.',
    ).optional(),
  })
  .meta({ description: 'What is true at the last check.', default: pendingStatus });
export type AuthorizationServerStatus = z.infer<typeof status>;

export const authorizationServer = z.object({ metadata: objectMeta, spec, status: status.optional() }).meta({
  description:
    'An OAuth 2.0 authorization server that supports RFC 8705, how to register clients there, and what tenants may ask for. Set up by the platform team.',
});
export type AuthorizationServer = z.infer<typeof authorizationServer>;
