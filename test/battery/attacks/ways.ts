/** Ways to a backend that lead around the client authentication of its host. */
import { type Attempt, Host } from '../field.ts';
import type { Field } from '../field.ts';
import { type Attack, each, harmless, refused } from './attack.ts';

/** Who gets to the victim's host without its certificate is refused, or nobody. */
const withForged = (field: Field, attempt: Attempt): Promise<string> =>
  field.attempt({ ...attempt, lines: [...(attempt.lines ?? []), ...field.forgedLines()] });

/** Names of a host that are no other host (RFC 9110 §4.2.3, RFC 9112 §3.2). */
const hostLines: readonly ((path: string) => string)[] = [
  (path) => `GET ${path} HTTP/1.1\r\nHost: ${Host.api.toUpperCase()}`,
  (path) => `GET ${path} HTTP/1.1\r\nHost: ${Host.api}:443`,
  (path) => `GET ${path} HTTP/1.1\r\nHost: ${Host.api}.`,
  (path) => `GET ${path} HTTP/1.1\r\nHost: ${Host.open}\r\nHost: ${Host.api}`,
  (path) => `GET ${path} HTTP/1.1\r\nHost: ${Host.api}\r\nHost: ${Host.open}`,
  (path) => `GET https://${Host.api}${path} HTTP/1.1\r\nHost: ${Host.open}`,
  (path) => `GET ${path} HTTP/1.0\r\nHost: ${Host.api}`,
];

export const wayAttacks = {
  plainHttp: {
    title: 'Port 80 of the host, with a forged header',
    safe: harmless,
    run: async (field) => [await field.plain({ host: Host.api, lines: field.forgedLines() })],
  },
  openHost: {
    title: 'A host without client authentication that reaches the same Service, with a forged header',
    safe: harmless,
    remedy: {
      by: 'settings',
      text: '`BackendExposed` says so; blanks in the controller’s `proxy-set-headers` close it.',
    },
    run: async (field) => [
      await withForged(field, { host: Host.open }),
      await field.plain({ host: Host.open, lines: field.forgedLines() }),
    ],
  },
  pod: {
    title: 'Past the terminator to the Pod, with a forged header',
    safe: harmless,
    remedy: {
      by: 'elsewhere',
      text: 'A NetworkPolicy that lets in the terminator alone: no header proves who sent it.',
    },
    run: async (field) => [await field.pod({ host: Host.api, lines: field.forgedLines() })],
  },
  otherSni: {
    title: 'SNI of a host without client authentication, Host of the protected one',
    safe: refused,
    run: async (field) => [
      await withForged(field, { sni: Host.open, host: Host.api }),
      await field.attempt({ sni: Host.open, host: Host.api }),
    ],
  },
  otherClients: {
    title: 'SNI of another server’s host, with a certificate of its CA; Host of the protected one',
    safe: refused,
    run: async (field) => {
      const { ofOtherCa, selfSigned } = field.people;
      return [
        await withForged(field, { sni: Host.other, host: Host.api, client: ofOtherCa }),
        field.product.driver.capabilities.request
          ? await withForged(field, { sni: Host.request, host: Host.api, client: selfSigned })
          : undefined,
      ];
    },
  },
  noSni: {
    title: 'No SNI',
    safe: refused,
    run: async (field) => {
      const { ofOtherCa, selfSigned } = field.people;
      return each([undefined, ofOtherCa, selfSigned], (client) =>
        withForged(field, { sni: null, host: Host.api, ...(client && { client }) }),
      );
    },
  },
  oddSni: {
    title: 'SNI in capitals, with a dot at its end, or `*.` as it is written',
    safe: refused,
    run: (field) =>
      each([Host.api.toUpperCase(), `${Host.api}.`, '*.battery.test', 'unknown.battery.test'], (sni) =>
        withForged(field, { sni, host: Host.api }),
      ),
  },
  wildcard: {
    title: 'SNI of a wildcard host without client authentication, Host of a protected one below it',
    safe: refused,
    run: (field) => each(['x.wild.battery.test', Host.wildcard], (sni) => withForged(field, { sni, host: Host.named })),
  },
  hostLines: {
    title: 'The protected host named otherwise: in capitals, with a port, twice, in absolute form, by HTTP/1.0',
    safe: refused,
    run: (field) => each(hostLines, (request) => withForged(field, { sni: Host.open, host: Host.api, request })),
  },
  coalescing: {
    title: 'HTTP/2: the protected host’s `:authority` on another host’s connection',
    safe: refused,
    run: async (field) => {
      const lines = field.forgedLines();
      return [
        await field.coalesced(Host.open, { host: Host.api, lines }),
        await field.coalesced(Host.other, { host: Host.api, client: field.people.ofOtherCa, lines }),
        await field.coalesced('x.wild.battery.test', { host: Host.named, lines }),
      ];
    },
  },
  fragmented: {
    title: 'ClientHello in fragments',
    safe: refused,
    run: (field) =>
      each(['TLSv1.2', 'TLSv1.3'] as const, (version) =>
        withForged(field, { host: Host.api, hello: { version, fragmented: true } }),
      ),
  },
} satisfies Record<string, Attack>;
