import type { Subject } from '../api/fields.ts';
import type { SubjectName } from '../x509/subject-name.ts';
import type { Violation } from './grants.ts';

/** RFC 8705 §2.1.2 */
export const subjectParameters = [
  'tls_client_auth_subject_dn',
  'tls_client_auth_san_dns',
  'tls_client_auth_san_uri',
  'tls_client_auth_san_ip',
  'tls_client_auth_san_email',
] as const;
export type SubjectParameter = (typeof subjectParameters)[number];

export interface Identity {
  parameter: SubjectParameter;
  /** As it is registered: RFC 4514 for a DN. */
  value: string;
  /** The form in which identities are compared: two that a server could confuse have the same one. */
  canonical: string;
  /** What the certificate is signed for. */
  subject: SubjectName;
}
export interface TemplateValues {
  namespace: string;
  name: string;
  clusterId: string;
}
export declare function effectiveIdentity(
  templates: readonly Subject[] | undefined,
  requested: Subject | undefined,
  values: TemplateValues,
): { identity: Identity } | { violation: Violation };
/** What is wrong with a template whatever the client; undefined when nothing. */
export declare function templateProblem(template: Subject): string | undefined;
