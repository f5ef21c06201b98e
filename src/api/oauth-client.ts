import { z } from 'zod';
import { conditions, observedGeneration, pendingStatus } from './conditions.ts';
import {
  chosenClientId,
  dateTime,
  durationText,
  immutable,
  nameRef,
  objectName,
  privateKey,
  rules,
  stringSet,
  subject,
} from './fields.ts';
import { objectMeta } from './metadata.ts';

/** RFC 8705 §2.1 and §2.2: the two ways a client authenticates with a certificate. */
export const authMethod = z.enum(['tls_client_auth', 'self_signed_tls_client_auth']);
export type AuthMethod = z.infer<typeof authMethod>;

export const DEFAULT_DURATION = '720h';

const certificate = z
  .object({
    issuerRef: nameRef(
      "The ClientCertificateIssuer that signs. Default: the server's defaultIssuerRef.",
      'Name of a ClientCertificateIssuer.',
    ).optional(),
    subject: subject(
      "The identity registered at the server and named in every certificate (RFC 8705 §2.1.2). Default: the platform's first identity template. Immutable.",
    ).optional(),
    duration: durationText(`Life of one certificate. Default ${DEFAULT_DURATION}, at least 5m; the issuer may cap it.`)
      .meta(
        rules({
          rule: "duration(self) >= duration('5m')",
          message: 'duration must be at least 5m, e.g. 720h.',
        }),
      )
      .optional(),
    renewBefore: durationText('How long before its end a certificate is replaced. Default: a third of its life.')
      .meta(
        rules({
          rule: "duration(self) >= duration('10s')",
          message: 'renewBefore must be at least 10s.',
        }),
      )
      .optional(),
    privateKey: privateKey('The key pair; a new one for every certificate.').optional(),
    drain: durationText(
      'How long an old certificate stays registered and trusted after its successor is published. Default: to its own end. ' +
        'Never shorter than the propagation time plus the longest access token life seen.',
    ).optional(),
  })
  .meta({
    description: 'What the client certificates are like.',
    ...rules({
      rule: `!has(self.renewBefore) || duration(self.renewBefore) < duration(has(self.duration) ? self.duration : '${DEFAULT_DURATION}')`,
      message: `renewBefore must be shorter than duration (${DEFAULT_DURATION} where it is not set); leave it out for a third of it.`,
    }),
  });

const spec = z
  .object({
    authorizationServerRef: nameRef(
      'The AuthorizationServer to register at. Immutable.',
      'Name of an AuthorizationServer; ask the platform team which are granted to your namespace.',
    ),
    tokenEndpointAuthMethod: authMethod
      .meta({
        description:
          'token_endpoint_auth_method (RFC 7591 §2): tls_client_auth (default; a CA vouches for the subject, RFC 8705 §2.1) or ' +
          'self_signed_tls_client_auth (the registered key itself, RFC 8705 §2.2). Immutable.',
      })
      .optional(),
    clientId: chosenClientId(
      'client_id (RFC 6749 §2.2), where the server lets clients be named (keycloak) and the platform grants it. Default: ' +
        '<clusterId>.<namespace>.<name> there, and what the server chooses elsewhere. Immutable.',
    ).optional(),
    clientName: z
      .string()
      .min(1)
      .max(128)
      .meta({ description: 'client_name (RFC 7591 §2), shown to people. The ownership marker is added to it.' })
      .optional(),
    grantTypes: stringSet(
      z.string().min(1).max(128),
      8,
      'grant_types (RFC 7591 §2). Default: client_credentials. Each must be granted by the platform.',
    ).optional(),
    responseTypes: stringSet(
      z.string().min(1).max(64),
      8,
      'response_types (RFC 7591 §2). Default: code where authorization_code is used.',
    ).optional(),
    redirectURIs: stringSet(z.string().min(1).max(2048), 16, 'redirect_uris (RFC 7591 §2).').optional(),
    scope: z
      .string()
      .max(2048)
      .regex(/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/)
      .meta({
        description:
          'scope (RFC 7591 §2): space-separated. Each value must be granted by the platform. Default: all that are.',
      })
      .optional(),
    tlsClientCertificateBoundAccessTokens: z
      .boolean()
      .meta({
        description:
          'tls_client_certificate_bound_access_tokens (RFC 8705 §3.4). Default true; false asks for access tokens that anybody can use ' +
          'who gets hold of them, as far as the platform allows.',
      })
      .optional(),
    certificate: certificate.optional(),
    secret: z
      .object({
        name: objectName('Name of the Secret in this namespace. Default: <name>-oauth. Immutable.').optional(),
        pkcs12: z
          .object({})
          .meta({
            description:
              'Write {} for keystores beside the PEM files: keystore.p12, truststore.p12 (where the server’s CA is not the system’s) and ' +
              'keystore.password, which is generated. PKCS #12 (RFC 7292) with PBES2 (RFC 8018): AES-256 and HMAC-SHA-256.',
          })
          .optional(),
      })
      .meta({
        description:
          'The Secret that the application reads: key, certificate, client_id (RFC 7591 §3.2.1) and where to get tokens.',
      })
      .optional(),
    adoptionPolicy: z
      .enum(['Never', 'IfMarked'])
      .meta({
        description:
          'What happens where the server has a client of this client_id (RFC 6749 §2.2) already: IfMarked (default) takes over one that is marked as this ' +
          "OAuthClient's, or that the platform lists in spec.clients.adoptable; Never touches none. One that is marked as another's is never touched.",
      })
      .optional(),
    deletionPolicy: z
      .enum(['Delete', 'Orphan'])
      .meta({
        description:
          'What becomes of the registration when this object is deleted: Delete (default; RFC 7592 §2.3) or Orphan, as far as the platform allows.',
      })
      .optional(),
  })
  .meta({
    description: 'What the team asks for.',
    ...rules(
      immutable('authorizationServerRef'),
      immutable('tokenEndpointAuthMethod'),
      immutable('clientId'),
      immutable('certificate.subject'),
      immutable('secret.name'),
    ),
  });
export type OAuthClientSpec = z.infer<typeof spec>;

const certificateStatus = z.object({
  x5tS256: z
    .string()
    .max(43)
    .meta({ description: 'SHA-256 thumbprint, base64url (RFC 8705 §3.1); the token carries it as cnf.x5t#S256.' }),
  role: z.enum(['Published', 'Next', 'Draining']).meta({
    description: 'Published: in the Secret. Next: being registered and proved. Draining: replaced, still valid.',
  }),
  serialNumber: z.string().max(64).meta({ description: 'Serial number, hexadecimal.' }),
  subject: z.string().max(1024).meta({ description: 'Subject as RFC 4514 writes it.' }),
  notBefore: dateTime('Start of validity.'),
  notAfter: dateTime('End of validity.'),
  renewalTime: dateTime('When its successor is begun.').optional(),
  retireAt: dateTime('When it stops being registered and trusted.').optional(),
});

export const rotationPhase = z.enum([
  'Staged',
  'Registered',
  'Distributed',
  'Proved',
  'Published',
  'Draining',
  'Settled',
]);
export type RotationPhase = z.infer<typeof rotationPhase>;

const status = z
  .object({
    observedGeneration: observedGeneration('The metadata.generation this status speaks of.'),
    clientId: z
      .string()
      .max(1024)
      .meta({ description: 'client_id at the authorization server (RFC 7591 §3.2.1).' })
      .optional(),
    secretName: z.string().max(253).meta({ description: 'The Secret in effect.' }).optional(),
    tokenEndpointAuthMethod: z
      .string()
      .max(64)
      .meta({ description: 'The token_endpoint_auth_method in effect (RFC 7591 §2).' })
      .optional(),
    subject: z
      .string()
      .max(1024)
      .meta({ description: 'The registered identity in effect, as its RFC 8705 parameter and value.' })
      .optional(),
    issuer: z.string().max(253).meta({ description: 'The ClientCertificateIssuer in effect.' }).optional(),
    certificates: z
      .array(certificateStatus)
      .max(4)
      .meta({
        description: 'Live certificates.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['x5tS256'],
      })
      .optional(),
    rotation: z
      .object({
        phase: rotationPhase.meta({ description: 'How far the newest certificate is.' }),
        reason: z.string().max(128).meta({ description: 'Why it was begun.' }),
        since: dateTime('Since when the phase lasts.'),
      })
      .meta({ description: 'The newest rotation.' })
      .optional(),
    lastHandledRenew: z
      .string()
      .max(1024)
      .meta({ description: 'The last value of the renew-requested annotation that was acted on.' })
      .optional(),
    conditions: conditions(
      'CertificateReady, Registered, Proved, TerminatorsReady, Ready, Reconciling and Stalled; CertificateAuthorityUnpinned where Keycloak ' +
        'does not compare the CA; RefreshTokensEndAtRotation where the ' +
        'server binds refresh tokens to the certificate.',
    ).optional(),
  })
  .meta({ description: 'What is true at the last check.', default: pendingStatus });
export type OAuthClientStatus = z.infer<typeof status>;

export const oauthClient = z.object({ metadata: objectMeta, spec, status: status.optional() }).meta({
  description:
    'An OAuth 2.0 client that authenticates with an X.509 certificate and gets certificate-bound access tokens (RFC 8705): ' +
    'its certificate is issued and rotated, registered at the authorization server and published in one Secret.',
});
export type OAuthClient = z.infer<typeof oauthClient>;
