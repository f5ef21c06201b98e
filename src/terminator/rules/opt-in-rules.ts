/** Reasons to leave a frontend as it is: what its owner or the platform has to settle first. */
import { CLIENT_CERTIFICATES } from '../../api/annotations.ts';
import { canAsk } from '../desired.ts';
import { nameOf, type Rule } from './rule.ts';

export const invalidAnnotation: Rule = {
  name: 'InvalidAnnotation',
  find: ({ frontend }) =>
    frontend.optIn.invalid === undefined ? undefined : { message: frontend.optIn.invalid, bundle: 'keep' },
};

export const notGranted: Rule = {
  name: 'NotGranted',
  find: ({ frontend, server }) =>
    server !== undefined
      ? undefined
      : {
          message: `AuthorizationServer ${frontend.optIn.server ?? ''} is not granted to namespace ${frontend.namespace}, or there is none: ask the platform team for resourceServers.namespaces. What is configured stays.`,
          bundle: 'keep',
        },
};

export const terminatorSwitchedOff: Rule = {
  name: 'TerminatorSwitchedOff',
  find: ({ switchedOff }) =>
    switchedOff === undefined
      ? undefined
      : {
          message: `The driver ${switchedOff} is not switched on in this cluster: ask the platform team to add it to terminators.enabled in the chart's values. The host is not protected.`,
          bundle: 'keep',
        },
};

export const modeUnsupported: Rule = {
  name: 'ModeUnsupported',
  find({ frontend, driver }) {
    if (driver === undefined || canAsk(driver, frontend)) return undefined;
    const { capabilities, name } = driver;
    const modes = ['required', ...(['optional', 'request'] as const).filter((mode) => capabilities[mode])];
    return {
      message: `The driver ${name} cannot do ${CLIENT_CERTIFICATES}: ${frontend.optIn.clientCertificates}: use ${modes.join(' or ')}, or a host at another terminator. What is configured stays.`,
      bundle: 'keep',
    };
  },
};

export const noHost: Rule = {
  name: 'NoHost',
  find: ({ frontend }) =>
    frontend.hostless
      ? {
          message: `A rule has no host. Client certificates on the default server would decide for connections without SNI to any host: give every rule a host.`,
          bundle: 'keep',
        }
      : undefined,
};

export const noTls: Rule = {
  name: 'NoTLS',
  find({ frontend, plainHosts }) {
    if (plainHosts.length === 0) return undefined;
    const lacking =
      frontend.kind === 'Gateway' ? 'No listener speaks HTTPS' : `${plainHosts.join(', ')} has no TLS (spec.tls)`;
    return { message: `${lacking}, and without TLS there are no client certificates: add it.`, bundle: 'keep' };
  },
};

const asks = ({ server, clientCertificates }: { server: string; clientCertificates: string }): string =>
  `${server} ${clientCertificates}`;

export const scopeConflict: Rule = {
  name: 'ScopeConflict',
  find({ frontend, neighbours, listed }) {
    const own = asks({ server: frontend.optIn.server ?? '', clientCertificates: frontend.optIn.clientCertificates });
    const rival = neighbours.find(
      // What the platform lists in spec.terminators has the host's say; nobody else's Ingress can take it away.
      (neighbour) => neighbour.optIn !== undefined && asks(neighbour.optIn) !== own && (neighbour.listed || !listed),
    );
    if (rival === undefined) return undefined;
    return {
      message: `${nameOf(rival, frontend.namespace)} asks for another authorization server or other ${CLIENT_CERTIFICATES} on the same host, and a host has one answer for all: make them equal, or use another host. What is configured stays.`,
      bundle: 'maintain',
    };
  },
};

export const selfSignedOnSharedHost: Rule = {
  name: 'SelfSignedOnSharedHost',
  find({ frontend, server, trust }) {
    if (server === undefined || trust === undefined) return undefined;
    const { name } = server.metadata;
    const requests = frontend.optIn.clientCertificates === 'request';
    if (trust.ca && trust.selfSigned) {
      return {
        message: `AuthorizationServer ${name} has self-signed clients and clients of a CA, which must not share a host: give each an AuthorizationServer with mtlsEndpoints of its own.`,
        bundle: 'maintain',
      };
    }
    if (trust.selfSigned && !requests) {
      return {
        message: `The clients of AuthorizationServer ${name} sign their own certificates, which no CA vouches for: set ${CLIENT_CERTIFICATES}: request.`,
        bundle: 'keep',
      };
    }
    if (trust.ca && requests) {
      return {
        message: `${CLIENT_CERTIFICATES}: request verifies nothing, but the clients of AuthorizationServer ${name} have certificates of a CA: use required or optional.`,
        bundle: 'maintain',
      };
    }
    return undefined;
  },
};

export const trustBundle: Rule = {
  name: 'TrustBundle',
  find({ trust }) {
    if (trust?.error === undefined) return undefined;
    const { code, message } = trust.error;
    return { reason: code, message: `${message} The trust bundle stays as it is.`, bundle: 'keep' };
  },
};

export const issuerNotReady: Rule = {
  name: 'IssuerNotReady',
  find({ trust, server }) {
    if (trust === undefined || trust.pending.length === 0) return undefined;
    const message = `AuthorizationServer ${server?.metadata.name ?? ''} waits for the CA of ${trust.pending.join(', ')}.`;
    if (trust.bundle === undefined) return { message: `${message} Until then nothing is changed.`, bundle: 'keep' };
    return { message: `${message} Its clients are not trusted yet.` };
  },
};
