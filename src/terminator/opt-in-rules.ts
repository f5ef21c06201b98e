/** Reasons to leave an Ingress as it is: what its owner or the platform has to settle first. */
import { CLIENT_CERTIFICATES } from '../api/annotations.ts';
import { nameOf, type Rule } from './rule.ts';

export const invalidAnnotation: Rule = {
  name: 'InvalidAnnotation',
  find: ({ ingress }) =>
    ingress.optIn.invalid === undefined ? undefined : { message: ingress.optIn.invalid, bundle: 'keep' },
};

export const notGranted: Rule = {
  name: 'NotGranted',
  find: ({ ingress, server }) =>
    server !== undefined
      ? undefined
      : {
          message: `AuthorizationServer ${ingress.optIn.server ?? ''} is not granted to namespace ${ingress.namespace}, or there is none: ask the platform team for resourceServers.namespaces. What is configured stays.`,
          bundle: 'keep',
        },
};

export const unknownIngressClass: Rule = {
  name: 'UnknownIngressClass',
  find: ({ ingress, driver }) =>
    driver !== undefined
      ? undefined
      : {
          message: `No terminator of ${ingress.className === undefined ? 'an Ingress without a class' : `IngressClass ${ingress.className}`} is known: use a class whose controller is k8s.io/ingress-nginx. The host is not protected.`,
          bundle: 'keep',
        },
};

export const noHost: Rule = {
  name: 'NoHost',
  find: ({ ingress }) =>
    ingress.hostless
      ? {
          message:
            'A rule has no host. Client certificates on the default server would decide for connections without SNI to any host: give every rule a host.',
          bundle: 'keep',
        }
      : undefined,
};

export const noTls: Rule = {
  name: 'NoTLS',
  find: ({ plainHosts }) =>
    plainHosts.length === 0
      ? undefined
      : {
          message: `${plainHosts.join(', ')} is not in spec.tls, and without TLS there are no client certificates: add it.`,
          bundle: 'keep',
        },
};

const asks = ({ server, clientCertificates }: { server: string; clientCertificates: string }): string =>
  `${server} ${clientCertificates}`;

export const scopeConflict: Rule = {
  name: 'ScopeConflict',
  find({ ingress, neighbours, listed }) {
    const own = asks({ server: ingress.optIn.server ?? '', clientCertificates: ingress.optIn.clientCertificates });
    const rival = neighbours.find(
      // What the platform lists in spec.terminators has the host's say; nobody else's Ingress can take it away.
      (neighbour) => neighbour.optIn !== undefined && asks(neighbour.optIn) !== own && (neighbour.listed || !listed),
    );
    if (rival === undefined) return undefined;
    return {
      message: `${nameOf(rival, ingress.namespace)} asks for another authorization server or other ${CLIENT_CERTIFICATES} on the same host, and a host has one answer for all: make them equal, or use another host. What is configured stays.`,
      bundle: 'maintain',
    };
  },
};

export const selfSignedOnSharedHost: Rule = {
  name: 'SelfSignedOnSharedHost',
  find({ ingress, server, trust }) {
    if (server === undefined || trust === undefined) return undefined;
    const { name } = server.metadata;
    const requests = ingress.optIn.clientCertificates === 'request';
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
