import { z } from 'zod';
import { conditions, observedGeneration, pendingStatus } from './conditions.ts';
import {
  dateTime,
  durationText,
  exactlyOne,
  immutable,
  namespaceGrant,
  objectName,
  privateKey,
  privateKeyAlgorithm,
  rules,
} from './fields.ts';
import { objectMeta } from './metadata.ts';

const managed = z
  .object({
    dn: z
      .string()
      .min(3)
      .max(1024)
      .meta({
        description: 'Subject of the CA, as RFC 4514 writes it. Default: CN=<name>,O=<clusterId>. It never changes.',
      })
      .optional(),
    duration: durationText('Life of the CA certificate. Default 87600h (ten years).')
      .meta(
        rules({
          rule: "duration(self) >= duration('1h')",
          message: 'duration must be at least 1h, e.g. 87600h.',
        }),
      )
      .optional(),
    privateKey: privateKey("The CA's key pair.").optional(),
  })
  .meta({
    description: 'A CA whose key the operator makes and keeps in its own namespace.',
    ...rules(
      immutable(
        'dn',
        'Servers and terminators know the CA by its name: create a second ClientCertificateIssuer, grant it in the AuthorizationServer and move the clients to it.',
      ),
    ),
  });

const ca = z
  .object({
    managed: managed.optional(),
    secretRef: z
      .object({
        name: objectName(
          "Name of a kubernetes.io/tls Secret in the operator's namespace: tls.crt (the CA first, then its chain), tls.key.",
        ),
      })
      .meta({ description: 'A CA whose key the platform keeps.' })
      .optional(),
  })
  .meta({
    description:
      'Signs with a CA of its own (for tls_client_auth, RFC 8705 §2.1; one issuer is one dedicated CA, §7.4).',
    ...rules(
      exactlyOne(
        ['managed', 'secretRef'],
        'Write exactly one of ca.managed (the operator makes the CA) and ca.secretRef (you bring it).',
      ),
    ),
  });

const spec = z
  .object({
    ca: ca.optional(),
    selfSigned: z
      .object({})
      .meta({
        description: 'Every certificate is signed by its own key (for self_signed_tls_client_auth, RFC 8705 §2.2).',
      })
      .optional(),
    policy: z
      .object({
        namespaces: namespaceGrant('Namespaces whose clients may use this issuer. Absent: none.').optional(),
        maxDuration: durationText('The longest life of one certificate. Default 2160h.').optional(),
        privateKeyAlgorithms: z
          .array(privateKeyAlgorithm)
          .max(2)
          .meta({ description: 'Allowed key algorithms. Absent: all.', 'x-kubernetes-list-type': 'set' })
          .optional(),
      })
      .meta({ description: 'Who may use it and for what; deny by default.' })
      .optional(),
  })
  .meta({
    description: 'What the platform team sets up.',
    ...rules(exactlyOne(['ca', 'selfSigned'], 'Write exactly one of ca and selfSigned.'), {
      rule: 'has(self.ca) == has(oldSelf.ca) && has(self.selfSigned) == has(oldSelf.selfSigned)',
      message:
        'The kind of an issuer is immutable: its clients trust what it was. Create a second issuer and grant it in the AuthorizationServer.',
      reason: 'FieldValueForbidden',
    }),
  });
export type ClientCertificateIssuerSpec = z.infer<typeof spec>;

const generation = z.object({
  sha256: z.string().max(64).meta({ description: 'SHA-256 of the CA certificate, hexadecimal.' }),
  subject: z.string().max(1024).meta({ description: 'Its subject as RFC 4514 writes it.' }),
  notBefore: dateTime('Start of validity.'),
  notAfter: dateTime('End of validity.'),
  phase: z.enum(['Active']).meta({ description: 'Active: new certificates come from it.' }),
});

const status = z
  .object({
    observedGeneration: observedGeneration('The metadata.generation this status speaks of.'),
    generations: z
      .array(generation)
      .max(8)
      .meta({
        description: 'CA generations.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['sha256'],
      })
      .optional(),
    caCertificate: z
      .string()
      .max(32768)
      .meta({ description: 'The CA certificates to trust for clients of this issuer, PEM.' })
      .optional(),
    conditions: conditions('Ready.').optional(),
  })
  .meta({ description: 'What is true at the last check.', default: pendingStatus });
export type ClientCertificateIssuerStatus = z.infer<typeof status>;

export const clientCertificateIssuer = z.object({ metadata: objectMeta, spec, status: status.optional() }).meta({
  description:
    'Where client certificates come from: a dedicated CA, or the clients themselves. Set up by the platform team.',
});
export type ClientCertificateIssuer = z.infer<typeof clientCertificateIssuer>;
