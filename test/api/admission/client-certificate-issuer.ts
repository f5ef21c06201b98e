/** ClientCertificateIssuer: what the API server has to refuse, and what it has to accept. */
import { clientCertificateIssuers } from '../../../src/api/resources.ts';
import { type AcceptedCase, of, type RefusedCase, sizes, type Spec } from './case.ts';

const managed = (more: Spec = {}): Spec => ({ ca: { managed: more } });

const oneIssuer = /Write exactly one of ca and selfSigned/;
const secondIssuer = /is immutable.*[Cc]reate a second (issuer|ClientCertificateIssuer)/s;
export const refused = of<RefusedCase>(clientCertificateIssuers, [
  { name: 'an issuer of no kind', spec: {}, field: 'spec', says: oneIssuer },
  { name: 'an issuer of two kinds', spec: { ca: { managed: {} }, selfSigned: {} }, field: 'spec', says: oneIssuer },
  {
    name: 'a CA from nowhere',
    spec: { ca: {} },
    field: 'spec.ca',
    says: /Write exactly one of ca\.managed \(the operator makes the CA\) and ca\.secretRef/,
  },
  {
    name: 'a CA from two places',
    spec: { ca: { managed: {}, secretRef: { name: 'a' } } },
    field: 'spec.ca',
    says: /Write exactly one of ca\.managed/,
  },
  {
    name: 'a CA that becomes self-signed',
    before: managed(),
    spec: { selfSigned: {} },
    field: 'spec',
    says: secondIssuer,
  },
  {
    name: 'self-signed that becomes a CA',
    before: { selfSigned: {} },
    spec: managed(),
    field: 'spec',
    says: secondIssuer,
  },
  {
    name: "a CA's name that changes",
    before: managed({ dn: 'CN=a' }),
    spec: managed({ dn: 'CN=b' }),
    field: 'spec.ca.managed',
    says: secondIssuer,
  },
  {
    name: "a CA's name that is added",
    before: managed(),
    spec: managed({ dn: 'CN=b' }),
    field: 'spec.ca.managed',
    says: secondIssuer,
  },
  {
    name: "a CA's name that is removed",
    before: managed({ dn: 'CN=a' }),
    spec: managed(),
    field: 'spec.ca.managed',
    says: secondIssuer,
  },
  {
    name: 'a CA of less than an hour',
    spec: managed({ duration: '59m' }),
    field: 'spec.ca.managed.duration',
    says: /duration must be at least 1h, e\.g\. 87600h/,
  },
  {
    name: 'a CA key of another size',
    spec: managed({ privateKey: { algorithm: 'RSA', size: 512 } }),
    field: 'spec.ca.managed.privateKey',
    says: sizes,
  },
  {
    name: 'a longest duration that is none',
    spec: { selfSigned: {}, policy: { maxDuration: '90 days' } },
    field: 'spec.policy.maxDuration',
    says: /should match/,
  },
]);

export const accepted = of<AcceptedCase>(clientCertificateIssuers, [
  {
    name: 'a policy that changes',
    before: managed({ dn: 'CN=a' }),
    spec: { ...managed({ dn: 'CN=a', duration: '1h' }), policy: { namespaces: { names: ['a'] } } },
  },
]);
