/** The server's side of RFC 8705 §2.1.2: does a certificate carry the one subject value that a client registered? */
import type { X509Certificate } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import { certificateFields } from '../../src/x509/certificate-fields.ts';
import { dnFromDer } from '../../src/x509/dn-name.ts';
import { canonicalDn, parseDn } from '../../src/x509/dn.ts';
import { SubjectAlternativeNameExtension, X509CertificateView } from '../../src/x509/library.ts';

/** One spelling for each address; IPv6 has many (RFC 5952), and the certificate has only the bytes. */
function canonicalIp(address: string): string | undefined {
  if (isIPv4(address)) return address;
  return isIPv6(address) ? new URL(`http://[${address}]`).hostname : undefined;
}

/** The domain of an address has no case, its local part has (RFC 5321 §2.3.11). */
function canonicalEmail(address: string): string {
  const at = address.lastIndexOf('@');
  return address.slice(0, at) + address.slice(at).toLowerCase();
}

function alternativeNames(certificate: X509Certificate, type: string): string[] {
  const extension = new X509CertificateView(certificate.raw).getExtension(SubjectAlternativeNameExtension);
  return (extension?.names.items ?? []).filter((name) => name.type === type).map(({ value }) => value);
}

/** @param property one of the five client metadata members of RFC 8705 §2.1.2 */
export function certificateSubjectMatches(certificate: X509Certificate, property: string, expected: string): boolean {
  const some = (type: string, canonical: (value: string) => string | undefined): boolean => {
    const wanted = canonical(expected);
    return wanted !== undefined && alternativeNames(certificate, type).some((value) => canonical(value) === wanted);
  };
  switch (property) {
    case 'tls_client_auth_subject_dn':
      try {
        return canonicalDn(dnFromDer(certificateFields(certificate.raw).subject)) === canonicalDn(parseDn(expected));
      } catch {
        return false;
      }
    case 'tls_client_auth_san_dns':
      return some('dns', (value) => value.toLowerCase());
    case 'tls_client_auth_san_uri':
      return some('url', (value) => value);
    case 'tls_client_auth_san_email':
      return some('email', canonicalEmail);
    case 'tls_client_auth_san_ip':
      return some('ip', canonicalIp);
    default:
      return false;
  }
}
