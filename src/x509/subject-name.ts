/** The one identity of a client certificate (RFC 8705 §2.1.2): its subject DN, or one subject alternative name. */
import { isIP } from 'node:net';
import { OperatorError } from '../errors.ts';
import { implicit } from './der.ts';
import { canonicalDn, formatDn, type Dn } from './dn.ts';

export type SubjectName =
  | { readonly dn: Dn }
  | { readonly dnsName: string }
  | { readonly uri: string }
  | { readonly ipAddress: string }
  | { readonly emailAddress: string };

function invalidSubject(problem: string): OperatorError {
  return new OperatorError('InvalidSubject', `The subject of the certificate is not valid: ${problem}.`, {
    retry: { class: 'terminal' },
  });
}

const LABEL = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
const URI = /^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/;
const MAILBOX = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9.-]{1,253})$/;

function isHostName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => LABEL.test(label));
}

/**
 * The GeneralName of a subject (RFC 5280 §4.2.1.6) in DER; undefined for a DN.
 * @throws {OperatorError} `InvalidSubject`, terminal, for what RFC 5280 does not admit, and for wildcards
 */
export function generalName(subject: SubjectName): Uint8Array | undefined {
  if ('dn' in subject) return undefined;
  if ('dnsName' in subject) {
    if (!isHostName(subject.dnsName))
      throw invalidSubject('dnsName is no host name: write it in ASCII, without wildcard');
    return implicit(2, Buffer.from(subject.dnsName));
  }
  if ('uri' in subject) {
    const { uri } = subject;
    if (uri.length > 2048 || !URI.test(uri) || !URL.canParse(uri)) {
      throw invalidSubject(
        'uri is no absolute URI: write scheme and rest in ASCII, such as spiffe://example.org/payments',
      );
    }
    return implicit(6, Buffer.from(uri));
  }
  if ('ipAddress' in subject) {
    if (isIP(subject.ipAddress) === 0 || subject.ipAddress.includes('%')) {
      throw invalidSubject('ipAddress is no IP address: write one IPv4 or IPv6 address, without a range or zone');
    }
    return implicit(7, ipOctets(subject.ipAddress));
  }
  const host = MAILBOX.exec(subject.emailAddress)?.[1];
  if (host === undefined || !isHostName(host)) {
    throw invalidSubject('emailAddress is no mailbox: write local@host in ASCII (RFC 5280 §4.2.1.6)');
  }
  return implicit(1, Buffer.from(subject.emailAddress));
}

function ipGroups(part: string): string[] {
  return part === '' ? [] : part.split(':');
}

function ipOctets(address: string): Uint8Array {
  if (isIP(address) === 4) return Uint8Array.from(address.split('.').map(Number));
  const [head = '', tail] = canonicalIpAddress(address).split('::');
  const [before, after] = [ipGroups(head), ipGroups(tail ?? '')];
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** An IP address in its one form: IPv6 by RFC 5952, IPv4-mapped addresses as IPv6. */
export function canonicalIpAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

/**
 * The identity in the form in which identities are compared, as in `dns:a.example.org`: two subjects that any server could
 * confuse have the same one. Case counts nowhere, not even in a URI's path.
 */
export function canonicalSubject(subject: SubjectName): string {
  if ('dn' in subject) return `dn:${canonicalDn(subject.dn)}`;
  if ('dnsName' in subject) return `dns:${subject.dnsName.toLowerCase()}`;
  if ('uri' in subject) return `uri:${subject.uri.toLowerCase()}`;
  if ('ipAddress' in subject) return `ip:${canonicalIpAddress(subject.ipAddress)}`;
  return `email:${subject.emailAddress.toLowerCase()}`;
}

/** The identity as status and registration show it: RFC 4514 for a DN, else the value alone. */
export function formatSubject(subject: SubjectName): string {
  if ('dn' in subject) return formatDn(subject.dn);
  if ('dnsName' in subject) return subject.dnsName;
  if ('uri' in subject) return subject.uri;
  return 'ipAddress' in subject ? subject.ipAddress : subject.emailAddress;
}
