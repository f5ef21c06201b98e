/** What the owner of an Ingress ought to know, although it is acted on. */
import { Role, ROLE_LABEL } from '../api/annotations.ts';
import { bundleName } from './bundle-secret.ts';
import { differingKeys, holdsTrustedCas, writtenOut } from './desired.ts';
import { nameOf, type Rule } from './rule.ts';

export const hostShared: Rule = {
  name: 'HostShared',
  find({ ingress, neighbours }) {
    const others = neighbours.filter(({ optIn }) => optIn === undefined);
    if (others.length === 0) return undefined;
    const names = [...new Set(others.map((other) => nameOf(other, ingress.namespace)))];
    return {
      message: `${names.join(', ')} serves the same host without having opted in. Client certificates are asked for on the whole host, so its paths are behind them too: use a host of its own, or let it opt in alike.`,
    };
  },
};

export const backendExposed: Rule = {
  name: 'BackendExposed',
  find({ exposures }) {
    const [first] = exposures;
    if (first === undefined) return undefined;
    const ways = exposures.map(
      ({ ingress, host }) => `${host === '' ? 'the default host' : host} (Ingress ${ingress})`,
    );
    return {
      message: `Service ${first.service} is also reached without client certificates through ${[...new Set(ways)].join(', ')}, where forged ssl-client-* headers pass: let it opt in, or blank ssl-client-cert and ssl-client-verify in the controller's proxy-set-headers.`,
    };
  },
};

export const plainHttp: Rule = {
  name: 'PlainHTTP',
  find({ ingress, driver }) {
    const message = driver?.hazard(ingress.driverAnnotations);
    return message === undefined ? undefined : { message };
  },
};

export const reportOnly: Rule = {
  name: 'ReportOnly',
  find(member, { observed, desired }) {
    const { ingress, bundle, trust } = member;
    const wanted = desired.wanted.get(ingress.uid);
    if (wanted === undefined || ingress.optIn.mode !== 'report') return undefined;
    if (differingKeys(ingress, wanted).length === 0 && holdsTrustedCas(member)) return undefined;
    const secret = `Secret ${ingress.namespace}/${bundleName(observed.scope)}`;
    const what =
      trust?.bundle === undefined
        ? 'a CA certificate whose key you destroyed'
        : `status.caCertificate of ClientCertificateIssuer ${(member.server?.spec.clients?.issuers ?? []).join(', ')}`;
    return {
      message: `Nothing is written in mode report. First ${secret}${bundle === undefined ? '' : ' (outdated)'}, type Opaque, label ${ROLE_LABEL}=${Role.trustBundle}, ca.crt: ${what}. Then annotate: ${writtenOut(wanted.annotations)}.`,
    };
  },
};
