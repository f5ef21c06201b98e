/** What the owner of a frontend ought to know, although it is acted on. */
import { Role, ROLE_LABEL } from '../api/annotations.ts';
import { bundleName } from './bundle.ts';
import { canonicalJson } from './settings.ts';
import { companionsToWrite, differingKeys, holdsTrustedCas, writtenOut } from './desired.ts';
import type { Desired } from './desired.ts';
import type { Frontend } from './frontend.ts';
import type { Member, Neighbour } from './observed.ts';
import { nameOf, type Rule, type Said } from './rule.ts';

export const hostShared: Rule = {
  name: 'HostShared',
  find(member, { desired }) {
    const { frontend, neighbours, driver } = member;
    if (driver?.hostKey !== undefined) return hostUnverified(member, driver.hostKey, desired);
    const others = neighbours.filter(({ optIn }) => optIn === undefined);
    if (others.length === 0) return undefined;
    const names = [...new Set(others.map((other) => nameOf(other, frontend.namespace)))];
    return {
      message: `${names.join(', ')} serves the same host without having opted in. Client certificates are asked for on the whole host, so its paths are behind them too: use a host of its own, or let it opt in alike.`,
    };
  },
};

/**
 * Of products that ask nobody for a certificate where the frontends of a host are not set alike. It is in the way of
 * everything: what is there stays, and counts for nothing.
 */
function hostUnverified({ frontend, neighbours }: Member, hostKey: string, { wanted }: Desired): Said | undefined {
  const value = wanted.get(frontend.uid)?.settings[hostKey];
  if (value === undefined) return undefined;
  const others = neighbours.filter((other) => other.settings[hostKey] !== value && !willBeSetAlike(other, frontend));
  if (others.length === 0) return undefined;
  const names = [...new Set(others.map((other) => nameOf(other, frontend.namespace)))];
  return {
    message: `${names.join(', ')} serves the same host without ${hostKey}: ${JSON.stringify(value)}. Where the Ingresses of a host differ in it, nobody is asked for a client certificate there, so the host is not protected: use a host of its own, or let the other opt in alike, in the same namespace and with the same hosts.`,
    bundle: 'maintain',
  };
}

/** Its settings are made by the same scope, of the same namespace, so that they name the same objects. */
function willBeSetAlike(other: Neighbour, { namespace, hosts, optIn }: Frontend): boolean {
  return (
    other.optIn?.server === optIn.server &&
    other.optIn?.clientCertificates === optIn.clientCertificates &&
    other.namespace === namespace &&
    other.leadHost === hosts[0]
  );
}

export const backendExposed: Rule = {
  name: 'BackendExposed',
  find({ exposures }) {
    const [first] = exposures;
    if (first === undefined) return undefined;
    const ways = exposures.map(({ frontend, host }) => `${host === '' ? 'the default host' : host} (${frontend})`);
    return {
      message: `Service ${first.service} is also reached without client certificates through ${[...new Set(ways)].join(', ')}, where forged ssl-client-* headers pass: let it opt in, or blank ssl-client-cert and ssl-client-verify in the controller's proxy-set-headers.`,
    };
  },
};

export const plainHttp: Rule = {
  name: 'PlainHTTP',
  find({ frontend, driver }) {
    const message = driver?.hazard(frontend.settings);
    return message === undefined ? undefined : { message };
  },
};

export const reportOnly: Rule = {
  name: 'ReportOnly',
  find(member, { observed, desired }) {
    const { frontend, bundle, trust } = member;
    const wanted = desired.wanted.get(frontend.uid);
    if (wanted === undefined || frontend.optIn.mode !== 'report') return undefined;
    const missing = companionsToWrite(member, wanted);
    if (differingKeys(frontend, wanted).length + missing.length === 0 && holdsTrustedCas(member)) return undefined;
    const object = `${wanted.bundleKind} ${frontend.namespace}/${bundleName(observed.scope)}`;
    const what =
      trust?.bundle === undefined
        ? 'a CA certificate whose key you destroyed'
        : `status.caCertificate of ClientCertificateIssuer ${(member.server?.spec.clients?.issuers ?? []).join(', ')}`;
    const beside = missing
      .map(
        ({ companion: { resource, name, spec } }) =>
          `Then ${resource.kind} ${name}, label ${ROLE_LABEL}=${Role.terminator}, spec: ${canonicalJson(spec)}. `,
      )
      .join('');
    const set = frontend.kind === 'Ingress' ? 'annotate' : 'set';
    return {
      message: `Nothing is written in mode report. First ${object}${bundle === undefined ? '' : ' (outdated)'},${wanted.bundleKind === 'Secret' ? ' type Opaque,' : ''} label ${ROLE_LABEL}=${Role.trustBundle}, ca.crt: ${what}. ${beside}Then ${set}: ${writtenOut(wanted.settings)}.`,
    };
  },
};
