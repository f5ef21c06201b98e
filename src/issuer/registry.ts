import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { OperatorError } from '../errors.ts';
import { CaIssuer, type CaIssuerOptions } from './ca.ts';
import type { IssuerDriver } from './issuer.ts';
import { SelfSignedIssuer } from './self-signed.ts';

/** @throws {OperatorError} `UnsupportedIssuer`, terminal, for a spec that names no driver of this version */
export type IssuerRegistry = (issuer: Pick<ClientCertificateIssuer, 'spec'>) => IssuerDriver;

/** The drivers by the member of the spec that names them; make one registry, it keeps the imported CA keys. */
export function issuerRegistry(options: CaIssuerOptions): IssuerRegistry {
  const drivers = {
    ca: new CaIssuer(options),
    selfSigned: new SelfSignedIssuer(),
  };
  return ({ spec }) => {
    if (spec.ca !== undefined) return drivers.ca;
    if (spec.selfSigned !== undefined) return drivers.selfSigned;
    throw new OperatorError('UnsupportedIssuer', 'The ClientCertificateIssuer is of a kind that this version lacks.', {
      retry: { class: 'terminal' },
    });
  };
}
