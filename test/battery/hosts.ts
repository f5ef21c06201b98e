/** Hosts of the battery: all in front of the same Service, with names of one length (`renamed`). */
import type { TerminatorDriver } from '../../src/terminator/driver.ts';
import type { People } from './people.ts';
import type { ServedHost } from './product.ts';

export const Host = {
  /** Requires certificates of the clients' CA: the victim's server. */
  api: 'api.battery.test',
  /** Requires certificates of another server's CA. */
  other: 'two.battery.test',
  optional: 'opt.battery.test',
  /** Takes any certificate: self-signed clients' host. */
  request: 'any.battery.test',
  /** Without client authentication. */
  open: 'www.battery.test',
  full: 'all.battery.test',
  /** As it must never be: a client's own certificate is in the bundle. */
  anchor: 'own.battery.test',
  /** Without client authentication, around a host that requires it. */
  wildcard: '*.wild.battery.test',
  named: 'api.wild.battery.test',
} as const;

/** @param clientCa of the victim's server */
export function hostsOf(
  { capabilities }: TerminatorDriver,
  { otherCa, fullBundle, certificates }: People,
  clientCa: string,
): ServedHost[] {
  const asked = (name: string, ca: string, mode: 'required' | 'optional' | 'request' = 'required'): ServedHost => ({
    name,
    clientAuthentication: { mode, ca, depth: 1 },
  });
  return [
    asked(Host.api, clientCa),
    asked(Host.other, otherCa.certPem),
    asked(Host.full, fullBundle),
    asked(Host.anchor, clientCa + certificates.ownCa.certPem),
    asked(Host.named, clientCa),
    { name: Host.open },
    { name: Host.wildcard },
    ...(capabilities.optional ? [asked(Host.optional, clientCa, 'optional')] : []),
    ...(capabilities.request ? [asked(Host.request, clientCa, 'request')] : []),
  ];
}
