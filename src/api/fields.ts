import { z } from 'zod';

/** A CEL rule as a CRD carries it: the expression and what to write instead. */
export interface Rule {
  rule: string;
  message: string;
  reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired';
}

/** `x-kubernetes-validations`, to be spread into `.meta()`. */
export const rules = (...validations: Rule[]) => ({ 'x-kubernetes-validations': validations });

/** Why an identity-bearing field of a client can't change later, and what to do. */
const SECOND_CLIENT =
  'RFC 8705 registers exactly one identity per client, so the old and the new could not overlap. ' +
  'Create a second OAuthClient, switch the application to its Secret, then delete this one.';

/**
 * A transition rule on an object: the optional member at `path` may not change, appear or vanish.
 * A rule on the member itself would not run when it is added or removed, hence the `has()` guards on the parent.
 */
export function immutable(path: string, remedy = SECOND_CLIENT): Rule {
  const members = path.split('.');
  const present = (root: string) =>
    members.map((_, depth) => `has(${[root, ...members.slice(0, depth + 1)].join('.')})`).join(' && ');
  return {
    rule:
      `(${present('self')}) == (${present('oldSelf')}) && ` +
      `(!(${present('self')}) || !(${present('oldSelf')}) || self.${path} == oldSelf.${path})`,
    message: `${path} is immutable, also against adding or removing it. ${remedy}`,
    reason: 'FieldValueForbidden',
  };
}

/** A rule that holds when exactly one of the optional members is set. */
export function exactlyOne(members: readonly string[], message: string): Rule {
  return { rule: `[${members.map((m) => `has(self.${m})`).join(', ')}].filter(set, set).size() == 1`, message };
}

/** RFC 1123 label or subdomain, as Kubernetes names objects. */
export const objectName = (description: string, maxLength = 253) =>
  z
    .string()
    .min(1)
    .max(maxLength)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
    .meta({ description });

/** What a client_id may be where we choose it (RFC 6749 §2.2; Keycloak keeps 255 characters): safe in a URL, a log and a shell. */
export const chosenClientId = (description: string) =>
  z
    .string()
    .min(1)
    .max(255)
    .regex(/^[A-Za-z0-9]([-A-Za-z0-9._~:/@]*[A-Za-z0-9])?$/)
    .meta({ description });

export const nameRef = (description: string, nameDescription: string) =>
  z.object({ name: objectName(nameDescription) }).meta({ description });

/**
 * A Go duration of hours, minutes and seconds, as `kubectl` users write them: "720h", "1h30m". At most 164 years: CEL's
 * duration() has no answer, and no message of ours, beyond 292.
 */
export const durationText = (description: string) =>
  z
    .string()
    .min(2)
    .max(20)
    .regex(/^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$/)
    .meta({ description });

export const httpsUrl = (description: string) =>
  z
    .string()
    .min(9)
    .max(2048)
    .regex(/^https:\/\/[^\s#@?]+$/)
    .meta({ description: `${description} An https URL without user, query or fragment.` });

export const secretKeyRef = (description: string) =>
  z
    .object({
      name: objectName("Name of a Secret in the operator's namespace."),
      key: z
        .string()
        .min(1)
        .max(253)
        .regex(/^[-._a-zA-Z0-9]+$/)
        .meta({ description: "Key of the Secret's data." }),
    })
    .meta({ description });

export const stringSet = (item: z.ZodString, maxItems: number, description: string) =>
  z.array(item).max(maxItems).meta({ description, 'x-kubernetes-list-type': 'set' });

/** Namespaces that the platform grants something; absent or empty grants nothing. */
export const namespaceGrant = (description: string) =>
  z
    .object({
      names: stringSet(z.string().min(1).max(63), 256, 'Namespaces granted by name.').optional(),
      selector: z
        .object({
          matchLabels: z
            .record(z.string().max(317), z.string().max(63))
            .meta({ description: 'Labels that a namespace must all have.', maxProperties: 16 })
            .optional(),
        })
        .meta({ description: 'Namespaces granted by their labels; {} grants every namespace.' })
        .optional(),
    })
    .meta({ description });
export type NamespaceGrant = z.infer<ReturnType<typeof namespaceGrant>>;

export const dateTime = (description: string) => z.string().meta({ description, format: 'date-time' });

export const privateKeyAlgorithm = z.enum(['ECDSA', 'RSA']);

const keySizeRule: Rule = {
  rule:
    "!has(self.size) || (has(self.algorithm) && self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : " +
    'self.size in [256, 384])',
  message: 'size must be 256 or 384 for ECDSA (the default algorithm), and 2048, 3072 or 4096 for RSA.',
};

export const privateKey = (description: string) =>
  z
    .object({
      algorithm: privateKeyAlgorithm.meta({ description: 'ECDSA (default) or RSA.' }).optional(),
      size: z
        .int32()
        .meta({
          description: 'Bits: 256 (default) or 384 for ECDSA; 2048 (default), 3072 or 4096 for RSA.',
          format: 'int32',
        })
        .optional(),
    })
    .meta({ description, ...rules(keySizeRule) });

/** Registered identity of a `tls_client_auth` client: exactly one member (RFC 8705 §2.1.2). */
export const subjectMembers = ['dn', 'dnsName', 'uri', 'ipAddress', 'emailAddress'] as const;

export const subject = (description: string) =>
  z
    .object({
      dn: z
        .string()
        .min(3)
        .max(1024)
        .meta({
          description:
            'tls_client_auth_subject_dn (RFC 8705 §2.1.2): a distinguished name as RFC 4514 writes it, e.g. CN=batch,O=payments.',
        })
        .optional(),
      dnsName: z
        .string()
        .min(1)
        .max(253)
        .meta({ description: 'tls_client_auth_san_dns (RFC 8705 §2.1.2): a dNSName SAN.' })
        .optional(),
      uri: z
        .string()
        .min(3)
        .max(1024)
        .meta({ description: 'tls_client_auth_san_uri (RFC 8705 §2.1.2): a uniformResourceIdentifier SAN.' })
        .optional(),
      ipAddress: z
        .string()
        .min(2)
        .max(45)
        .meta({ description: 'tls_client_auth_san_ip (RFC 8705 §2.1.2): an iPAddress SAN, IPv4 dotted or IPv6.' })
        .optional(),
      emailAddress: z
        .string()
        .min(3)
        .max(254)
        .meta({ description: 'tls_client_auth_san_email (RFC 8705 §2.1.2): an rfc822Name SAN.' })
        .optional(),
    })
    .meta({
      description,
      ...rules(
        exactlyOne(
          subjectMembers,
          'Write exactly one of dn, dnsName, uri, ipAddress and emailAddress: RFC 8705 §2.1.2 registers one subject value per client.',
        ),
      ),
    });
export type Subject = z.infer<ReturnType<typeof subject>>;
