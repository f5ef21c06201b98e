import { type Subject, subjectMembers } from '../api/fields.ts';
import { OperatorError } from '../errors.ts';
import { attributeProblem, attributeType } from '../x509/attribute-type.ts';
import { type Dn, parseDn } from '../x509/dn.ts';
import {
  generalName,
  canonicalIpAddress,
  canonicalSubject,
  formatSubject,
  type SubjectName,
} from '../x509/subject-name.ts';
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

const DEFAULT_TEMPLATE: Subject = { dn: 'CN={namespace}.{name},OU={clusterId}' };

const PLACEHOLDER = /\{([A-Za-z]*)\}/g;
const placeholders = ['namespace', 'name', 'clusterId'] as const;

type Fill = (value: string) => string;

/** In one pass: a value that looks like a placeholder is never filled in again. */
function filler(values: TemplateValues, encode: Fill = (value) => value): Fill {
  return (text) =>
    text.replace(PLACEHOLDER, (whole, word: string) => {
      const placeholder = placeholders.find((known) => known === word);
      return placeholder === undefined ? whole : encode(values[placeholder]);
    });
}

/** A DN is parsed before it is filled in, so that no value can begin another RDN. */
function expand(template: Subject, values: TemplateValues): SubjectName {
  const fill = filler(values);
  if (template.dn !== undefined) {
    return normalise({
      dn: parseDn(template.dn).map((rdn) => rdn.map(({ type, value }) => ({ type, value: fill(value) }))),
    });
  }
  if (template.dnsName !== undefined) return normalise({ dnsName: fill(template.dnsName) });
  if (template.uri !== undefined) return normalise({ uri: filler(values, encodeURIComponent)(template.uri) });
  if (template.ipAddress !== undefined) return normalise({ ipAddress: fill(template.ipAddress) });
  if (template.emailAddress !== undefined) return normalise({ emailAddress: fill(template.emailAddress) });
  throw invalid('it names no identity: write one of dn, dnsName, uri, ipAddress and emailAddress');
}

/** @throws {OperatorError} for what a certificate of ours cannot carry */
function normalise(subject: SubjectName): SubjectName {
  if ('dn' in subject) {
    checkBounds(subject.dn);
    return subject;
  }
  const normal = normalisedName(subject);
  generalName(normal);
  return normal;
}

function normalisedName(subject: Exclude<SubjectName, { dn: Dn }>): Exclude<SubjectName, { dn: Dn }> {
  if ('dnsName' in subject) return { dnsName: subject.dnsName.toLowerCase().replace(/\.$/, '') };
  if ('uri' in subject) return { uri: subject.uri };
  if ('ipAddress' in subject) {
    // A zone is no part of an address in a certificate; generalName() says so.
    return subject.ipAddress.includes('%') ? subject : { ipAddress: canonicalIpAddress(subject.ipAddress) };
  }
  const at = subject.emailAddress.lastIndexOf('@');
  const { emailAddress } = subject;
  return { emailAddress: `${emailAddress.slice(0, at)}${emailAddress.slice(at).toLowerCase()}` };
}

function checkBounds(dn: Dn): void {
  for (const { type, value } of dn.flat()) {
    const known = attributeType(type);
    const problem = known === undefined ? `the attribute type ${type} is not known` : attributeProblem(known, value);
    if (problem !== undefined) throw invalid(problem);
  }
}

function invalid(problem: string): OperatorError {
  return new OperatorError('InvalidSubject', `The identity is not valid: ${problem}.`, {
    retry: { class: 'terminal' },
  });
}

function identityOf(subject: SubjectName): Identity {
  return {
    parameter: parameterOf(subject),
    value: formatSubject(subject),
    canonical: canonicalSubject(subject),
    subject,
  };
}

/**
 * The same client under one more RDN, so that the server refuses what was certified before (protocols, §7). The first
 * RDN stays the first. A subject alternative name has no room for it, and stays as it is.
 */
export function generationOf(identity: Identity, generation: number): Identity {
  const { subject } = identity;
  if (generation === 0 || !('dn' in subject)) return identity;
  const [first = [], ...rest] = subject.dn;
  return identityOf({ dn: [first, [{ type: 'OU', value: `generation-${generation}` }], ...rest] });
}

function parameterOf(subject: SubjectName): SubjectParameter {
  if ('dn' in subject) return 'tls_client_auth_subject_dn';
  if ('dnsName' in subject) return 'tls_client_auth_san_dns';
  if ('uri' in subject) return 'tls_client_auth_san_uri';
  if ('ipAddress' in subject) return 'tls_client_auth_san_ip';
  return 'tls_client_auth_san_email';
}

/** The sentence of an error without its period, or undefined for none. */
function problemOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof OperatorError) return error.message.replace(/\.$/, '');
    throw error;
  }
}

/** What is wrong with a template whatever the client; undefined when nothing. */
export function templateProblem(template: Subject): string | undefined {
  const members = subjectMembers.filter((member) => template[member] !== undefined);
  const [member] = members;
  if (member === undefined || members.length > 1)
    return 'write exactly one of dn, dnsName, uri, ipAddress, emailAddress';
  const text = template[member] ?? '';
  const unknown = [...text.matchAll(PLACEHOLDER)].find(([, word]) => !placeholders.some((known) => known === word));
  if (unknown !== undefined) return `${unknown[0]} is no placeholder: write {namespace}, {name} or {clusterId}`;
  return problemOf(() => expand(template, { namespace: 'a', name: 'a', clusterId: 'a' }));
}

/**
 * The same identity as it was registered: a server may compare names as text, and the certificates that are in use are spelt so.
 * Another one is left as it is.
 */
export function asRegistered(identity: Identity, registered: Pick<Identity, 'parameter' | 'value'>): Identity {
  if (identity.parameter !== registered.parameter || identity.value === registered.value) return identity;
  const before = identityOf(literal(requestedSubject(registered)));
  return before.canonical === identity.canonical ? before : identity;
}

const members = {
  tls_client_auth_subject_dn: 'dn',
  tls_client_auth_san_dns: 'dnsName',
  tls_client_auth_san_uri: 'uri',
  tls_client_auth_san_ip: 'ipAddress',
  tls_client_auth_san_email: 'emailAddress',
} as const;

export function requestedSubject({ parameter, value }: Pick<Identity, 'parameter' | 'value'>): Subject {
  return { [members[parameter]]: value };
}

/**
 * The identity of one client: the platform's first template, or the template that the requested subject is equal to. It
 * is always spelt as the platform spells it. Different clients may reach one identity (`{namespace}-{name}`): claims
 * decide who holds it.
 */
export function effectiveIdentity(
  templates: readonly Subject[] | undefined,
  requested: Subject | undefined,
  values: TemplateValues,
): { identity: Identity } | { violation: Violation } {
  const field = 'certificate.subject';
  const granted = templates === undefined || templates.length === 0 ? [DEFAULT_TEMPLATE] : templates;
  let wanted: string | undefined;
  if (requested !== undefined) {
    const problem = problemOf(() => {
      wanted = canonicalSubject(literal(requested));
    });
    if (problem !== undefined) return { violation: { field, message: `${problem}.` } };
  }
  let firstProblem: string | undefined;
  for (const template of granted) {
    let identity: Identity | undefined;
    const problem =
      templateProblem(template) ??
      problemOf(() => {
        identity = identityOf(expand(template, values));
      });
    firstProblem ??= problem;
    if (identity !== undefined && (wanted === undefined || identity.canonical === wanted)) return { identity };
    // The default is the first template or none: another would be a choice that nobody made.
    if (wanted === undefined) break;
  }
  if (wanted === undefined) {
    return {
      violation: {
        field,
        message:
          `The platform's identity template does not fit this client: ${firstProblem ?? 'it is empty'}. ` +
          'Choose a shorter name, or ask the platform team for another template.',
      },
    };
  }
  return {
    violation: {
      field,
      message:
        'This identity is not granted to this client: leave subject out for the default, or ask the platform team which identities are granted.',
    },
  };
}

/** A subject as it stands: a tenant's braces are no placeholders. */
function literal(subject: Subject): SubjectName {
  if (subject.dn !== undefined) return normalise({ dn: parseDn(subject.dn) });
  if (subject.dnsName !== undefined) return normalise({ dnsName: subject.dnsName });
  if (subject.uri !== undefined) return normalise({ uri: subject.uri });
  if (subject.ipAddress !== undefined) return normalise({ ipAddress: subject.ipAddress });
  if (subject.emailAddress !== undefined) return normalise({ emailAddress: subject.emailAddress });
  throw invalid('it names no identity: write one of dn, dnsName, uri, ipAddress and emailAddress');
}
