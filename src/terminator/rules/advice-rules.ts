/** What the owner of a frontend ought to know, although it is acted on: by what is around it, or by settings of its own. */
import { CLIENT_HEADERS_REMOVED, Role, ROLE_LABEL } from '../../api/annotations.ts';
import { bundleName } from '../bundle.ts';
import { canonicalJson } from '../frontends/settings.ts';
import { companionsToWrite, differingKeys, holdsTrustedCas, writtenOut } from '../desired.ts';
import type { Desired } from '../desired.ts';
import type { Frontend } from '../frontends/frontend.ts';
import type { Member, Neighbour } from '../observed.ts';
import { nameOf, type Rule, type Said } from './rule.ts';

export const hostShared: Rule = {
  name: 'HostShared',
  find(member, { observed: { scope }, desired }) {
    const { frontend, neighbours, driver } = member;
    if (driver?.hostKey !== undefined) return hostUnverified(member, driver.hostKey, desired);
    const named = (of: readonly Neighbour[]): string =>
      [...new Set(of.map((other) => nameOf(other, frontend.namespace)))].join(', ');
    const otherKinds = neighbours.filter(({ kind }) => kind !== frontend.kind);
    if (otherKinds.length > 0) {
      return {
        message: `${named(otherKinds)} serves the same host. Whenever the ${frontend.kind} is out of service, because its CAs are missing or damaged, that is served instead, and nobody is asked for a certificate: remove the host there, or use another one here.`,
        holdsUp: true,
      };
    }
    const rivals = neighbours.filter((other) => decidesOtherwise(other, member, scope.controller));
    if (rivals.length > 0) {
      return {
        message: `${named(rivals)} sets client authentication on the same host by itself, and one of the two decides for all of it: remove it there, or let it opt in alike.`,
        holdsUp: true,
      };
    }
    const others = neighbours.filter(({ optIn }) => optIn === undefined);
    if (others.length === 0) return undefined;
    return {
      message: `${named(others)} serves the same host without having opted in. Client certificates are asked for on the whole host, so its paths are behind them too: use a host of its own, or let it opt in alike.`,
    };
  },
};

/** It names CAs, and not as the operator would write it for this host. */
function decidesOtherwise(
  other: Neighbour,
  { frontend, driver, classAnnotations, trust }: Member,
  controller: string,
): boolean {
  if (driver === undefined || driver.bundleOf(other.settings) === undefined) return false;
  const { settings } = driver.render({
    bundle: { namespace: other.namespace, name: bundleName({ controller, host: other.leadHost }) },
    frontend: other,
    mode: frontend.optIn.clientCertificates,
    classAnnotations,
    depth: trust?.bundle?.depth ?? 1,
  });
  return Object.entries(settings).some(([key, value]) => other.settings[key] !== value);
}

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

/** @param name `namespace/name` */
const relativeName = (name: string, namespace: string): string =>
  name.startsWith(`${namespace}/`) ? name.slice(namespace.length + 1) : name;

export const backendExposed: Rule = {
  name: 'BackendExposed',
  find({ frontend: { namespace }, exposures }) {
    const [first] = exposures;
    if (first === undefined) return undefined;
    const { service } = first;
    const others = exposures.filter((exposure) => exposure.service === service);
    const ways = others.map((way) =>
      way.namespace === namespace ? `${way.at} (${nameOf(way, namespace)})` : nameOf(way, namespace),
    );
    return {
      message: `Service ${relativeName(service, namespace)} is also reached through ${[...new Set(ways)].join(', ')}, where a certificate header that a client sends itself is not replaced: whoever sends one is whoever it names. Take the Service away from there, or let the Ingress, HTTPProxy or Gateway there opt in; or the platform removes these headers there (docs/terminators.md#clients-own-headers) and annotates the class with ${CLIENT_HEADERS_REMOVED}: "true".`,
      holdsUp: true,
    };
  },
};

export const plainHttp: Rule = {
  name: 'PlainHTTP',
  find({ frontend: { namespace }, plain }) {
    const [first] = plain;
    if (first === undefined) return undefined;
    const ways = plain
      .filter(({ service }) => service === first.service)
      .map((way) => `${way.at} (${nameOf(way, namespace)})`);
    return {
      message: `Service ${relativeName(first.service, namespace)} is also served over plain HTTP, by ${[...new Set(ways)].join(', ')}: nobody is asked for a certificate there, and tokens go over the wire in the clear. Name the HTTPS listener in the route (parentRefs[].sectionName), and let the other one redirect.`,
      holdsUp: true,
    };
  },
};

/** Something beside what is written by which client authentication is undone, in the reason's words. */
export const hazardous: Rule = {
  name: 'Hazardous',
  find({ frontend, driver }) {
    const hazard = driver?.hazard(frontend.settings);
    return hazard === undefined ? undefined : { ...hazard, holdsUp: true };
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
