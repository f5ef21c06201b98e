import {
  type ClientCertificateIssuer,
  clientCertificateIssuer,
  type ClientCertificateIssuerSpec,
} from '../../src/api/client-certificate-issuer.ts';

/** An issuer as an informer holds it, that no API server has seen. */
export function issuerObject(name: string, spec: ClientCertificateIssuerSpec): ClientCertificateIssuer {
  return clientCertificateIssuer.parse({
    metadata: { name, uid: `uid-of-${name}`, resourceVersion: '1', generation: 1 },
    spec,
  });
}
