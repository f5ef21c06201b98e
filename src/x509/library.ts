/**
 * The one way to @peculiar/x509. It uses tsyringe, which fails at import unless reflect-metadata ran before, and it
 * keeps its WebCrypto in a global: both are settled here, so that nobody's import order matters.
 */
import 'reflect-metadata';
import { cryptoProvider } from '@peculiar/x509';

cryptoProvider.set(globalThis.crypto);

export {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as X509CertificateView,
  X509CertificateGenerator,
} from '@peculiar/x509';
