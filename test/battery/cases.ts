/** What an attacker does, and what may come of it: rows of docs/terminators.md, in the order of a run. Data alone. */
import type { ForgeryName } from './forgeries.ts';
import { Host } from './hosts.ts';
import { Outcome } from './outcome.ts';
import type { People } from './people.ts';

type PersonName = keyof People['certificates'];

export interface Request {
  /** In the Host line, or `:authority`. */
  host: string;
  /** Default: `https`. `http2`: the second request of a connection, the first being to the host of its SNI. */
  way?: 'https' | 'http2' | 'http' | 'pod';
  /** Default: the host; `null` sends none. */
  sni?: string | null;
  client?: PersonName;
  /** Whose certificate is sent behind the client's. */
  behind?: PersonName;
  /** It may be taken for the client; by default for nobody. */
  itself?: true;
  forged?: ForgeryName;
  /** What it begins with, `PATH` being its own; default: `GET PATH HTTP/1.1` and the host. */
  begin?: string;
  fragmented?: true;
  /** A session of a request to that host, got before, is resumed. */
  session?: { host: string; client?: PersonName };
}

/** Whatever is said, whoever is let in is nobody, or who it is. */
type Expected = 'harmless' | 'refused' | 'itself' | 'harmless or unread';

export interface Case {
  title: string;
  expected: Expected;
  /** What some products let by, and what is done there: by settings of the platform that the battery runs with too, or elsewhere. */
  remedy?: { lets: string; by: 'settings' | 'elsewhere'; text: string };
  /** Each by TLS 1.2, and by TLS 1.3. */
  bothVersions?: true;
  /** Between the sessions and their resumption the host trusts another CA. The last case: it stays so. */
  caRemoved?: true;
  requests: readonly Request[];
}

const { api, open, other, optional, request, wildcard, named } = Host;
const anyWild = wildcard.replace('*', 'x');

/** As a client of its own and, where one may, as nobody. */
const withForged = (forged: ForgeryName): Request[] => [
  { host: api, client: 'client', itself: true, forged },
  { host: optional, forged },
];

/** At the victim's host, and where a certificate is optional. */
const atBoth = (attempt: Omit<Request, 'host'>): Request[] => [api, optional].map((host) => ({ host, ...attempt }));

const forgedAt = (attempt: Request): Request => ({ ...attempt, forged: 'plain' });

/** Names of the protected host that are no other host (RFC 9110 §4.2.3, RFC 9112 §3.2). */
const namings = [
  `GET PATH HTTP/1.1\r\nHost: ${api.toUpperCase()}`,
  `GET PATH HTTP/1.1\r\nHost: ${api}:443`,
  `GET PATH HTTP/1.1\r\nHost: ${api}.`,
  `GET PATH HTTP/1.1\r\nHost: ${open}\r\nHost: ${api}`,
  `GET PATH HTTP/1.1\r\nHost: ${api}\r\nHost: ${open}`,
  `GET https://${api}PATH HTTP/1.1\r\nHost: ${open}`,
  `GET PATH HTTP/1.0\r\nHost: ${api}`,
];

const headers = {
  forged: { title: 'Forged header', expected: 'harmless', requests: withForged('plain') },
  capitals: { title: 'Forged header, in capitals', expected: 'harmless', requests: withForged('capitals') },
  encodings: {
    title: 'Forged header, in the encodings of all other products',
    expected: 'harmless',
    requests: withForged('encodings'),
  },
  foreignHeaders: {
    title: 'Forged headers of all other products',
    expected: 'harmless or unread',
    requests: withForged('foreign'),
  },
  underscore: {
    title: 'Forged header, `_` for `-`',
    expected: 'harmless',
    remedy: {
      lets: Outcome.unread,
      by: 'elsewhere',
      text: 'Not believed: `src/verifier` does not take `_` for `-`. WSGI, CGI and PHP do: an API there must not read this header.',
    },
    requests: withForged('underscore'),
  },
  repeated: {
    title: 'Forged header, twice, or before or after an empty one',
    expected: 'harmless',
    requests: withForged('repeated'),
  },
  misspelt: {
    title: 'Forged header, as parsers read it differently (spaces, folding, bare CR or LF, NUL)',
    // A folded line is part of the value before it.
    expected: 'harmless or unread',
    requests: withForged('misspelt'),
  },
  trailer: {
    title: 'Forged header, in the trailers of a chunked body',
    expected: 'harmless',
    requests: withForged('trailer'),
  },
  hopByHop: {
    title: '`Connection:` names the certificate’s headers',
    expected: 'itself',
    requests: [{ host: api, client: 'client', itself: true, forged: 'hopByHop' }],
  },
  http2: {
    title: 'Forged header, by HTTP/2',
    expected: 'harmless',
    requests: withForged('plain').map((each) => ({ ...each, way: 'http2' })),
  },
  besideSelfSigned: {
    title: 'Forged header on a host that takes any certificate: beside a self-signed one, and beside none',
    expected: 'harmless',
    requests: [{ host: request, client: 'selfSigned', itself: true } as const, { host: request }].map(forgedAt),
  },
} as const satisfies Record<string, Case>;

const ways = {
  plainHttp: {
    title: 'Port 80 of the host, with a forged header',
    expected: 'harmless',
    requests: [{ way: 'http', host: api, forged: 'plain' }],
  },
  openHost: {
    title: 'A host without client authentication that reaches the same Service, with a forged header',
    expected: 'harmless',
    remedy: {
      lets: Outcome.accepted,
      by: 'settings',
      text: '`BackendExposed` names the host; blanks in ingress-nginx’ `proxy-set-headers` close it; at Traefik’s provider for its annotations, a Middleware of the entry points.',
    },
    requests: [
      { host: open, forged: 'plain' },
      { host: open, way: 'http', forged: 'plain' },
    ],
  },
  pod: {
    title: 'Past the terminator to the Pod, with a forged header',
    expected: 'harmless',
    remedy: {
      lets: Outcome.accepted,
      by: 'elsewhere',
      text: 'No header proves who sent it: a NetworkPolicy that lets in the terminator alone.',
    },
    requests: [{ way: 'pod', host: api, forged: 'plain' }],
  },
  otherSni: {
    title: 'SNI of a host without client authentication, Host of the protected one',
    expected: 'refused',
    requests: [
      { sni: open, host: api, forged: 'plain' },
      { sni: open, host: api },
    ],
  },
  otherClients: {
    title: 'SNI of another server’s host, with a certificate of its CA; Host of the protected one',
    expected: 'refused',
    requests: [
      { sni: other, host: api, client: 'ofOtherCa', forged: 'plain' },
      { sni: request, host: api, client: 'selfSigned', forged: 'plain' },
    ],
  },
  noSni: {
    title: 'No SNI: without a certificate, with one of another server’s CA, with a self-signed one',
    expected: 'refused',
    requests: [
      { sni: null, host: api, forged: 'plain' },
      { sni: null, host: api, client: 'ofOtherCa', forged: 'plain' },
      { sni: null, host: api, client: 'selfSigned', forged: 'plain' },
    ],
  },
  oddSni: {
    title: 'SNI in capitals, with a dot at its end, `*.` as it is written, or of no host',
    expected: 'refused',
    requests: [api.toUpperCase(), `${api}.`, '*.battery.test', 'unknown.battery.test'].map((sni) =>
      forgedAt({ sni, host: api }),
    ),
  },
  wildcard: {
    title: 'SNI of a wildcard host without client authentication, Host of a protected one below it',
    expected: 'refused',
    remedy: {
      lets: Outcome.nobody,
      by: 'elsewhere',
      text: 'Of another Gateway a wildcard listener serves the names below it too. Whoever comes that way is nobody: let the API refuse those, or the other Gateway opt in.',
    },
    requests: [anyWild, wildcard].map((sni) => forgedAt({ sni, host: named })),
  },
  namings: {
    title: 'The protected host named otherwise: in capitals, with a port, twice, in absolute form, by HTTP/1.0',
    expected: 'refused',
    requests: namings.map((begin) => forgedAt({ sni: open, host: api, begin })),
  },
  coalescing: {
    title: 'HTTP/2: the protected host’s `:authority` on another host’s connection',
    expected: 'refused',
    requests: [
      { way: 'http2', sni: open, host: api, forged: 'plain' },
      { way: 'http2', sni: other, host: api, client: 'ofOtherCa', forged: 'plain' },
      { way: 'http2', sni: anyWild, host: named, forged: 'plain' },
    ],
  },
  fragmented: {
    title: 'ClientHello in fragments',
    expected: 'refused',
    bothVersions: true,
    requests: [{ host: api, forged: 'plain', fragmented: true }],
  },
} as const satisfies Record<string, Case>;

const certificates = {
  absent: { title: 'No certificate', expected: 'refused', bothVersions: true, requests: [{ host: api }] },
  foreign: {
    title: 'The victim’s name, by a CA that is trusted nowhere, or on another host',
    expected: 'harmless',
    bothVersions: true,
    requests: [...atBoth({ client: 'ofForeignCa' }), ...atBoth({ client: 'ofOtherCa' })],
  },
  selfSigned: {
    title: 'The victim’s name, self-signed',
    expected: 'harmless',
    bothVersions: true,
    requests: atBoth({ client: 'selfSigned' }),
  },
  selfSignedCa: {
    title: 'The victim’s name, self-signed with CA:TRUE; and issued by such a one, which is sent along',
    expected: 'harmless',
    bothVersions: true,
    requests: [...atBoth({ client: 'ownCa' }), ...atBoth({ client: 'ofOwnCa', behind: 'ownCa' })],
  },
  anchor: {
    title: 'The same, were it in the bundle',
    expected: 'harmless',
    remedy: {
      lets: Outcome.accepted,
      by: 'elsewhere',
      text: 'Never in one: a bundle holds CAs of issuers alone, and self-signed clients get a host of their own (`SelfSignedOnSharedHost`).',
    },
    requests: [{ host: Host.anchor, client: 'ofOwnCa' }],
  },
  ofLeaf: {
    title: 'The victim’s name, issued by a client’s certificate, which is sent along',
    expected: 'harmless',
    bothVersions: true,
    requests: atBoth({ client: 'ofClient', behind: 'client' }),
  },
  appended: {
    title: 'The victim’s certificate behind one’s own',
    expected: 'harmless',
    bothVersions: true,
    requests: atBoth({ client: 'client', behind: 'victim', itself: true }),
  },
  expired: {
    title: 'An expired certificate',
    expected: 'harmless',
    bothVersions: true,
    requests: atBoth({ client: 'expired' }),
  },
  serverOnly: {
    title: 'A certificate of the CA for servers alone (extended key usage)',
    expected: 'harmless',
    bothVersions: true,
    requests: atBoth({ client: 'serverOnly' }),
  },
  large: {
    title: 'A certificate of 8 KB',
    expected: 'itself',
    requests: [{ host: api, client: 'large', itself: true }],
  },
  tooLarge: {
    title: 'A certificate of 14 KB, and one of 110 KB, with a forged header',
    expected: 'harmless',
    requests: [
      { host: api, client: 'tooLarge', itself: true, forged: 'plain' },
      { host: api, client: 'huge', itself: true, forged: 'plain' },
    ],
  },
  fullBundle: {
    title: 'An honest client, where the bundle is full (24 KB of names)',
    expected: 'itself',
    bothVersions: true,
    requests: [{ host: Host.full, client: 'client', itself: true }],
  },
} as const satisfies Record<string, Case>;

/** Who was let in once is to be let in again only where and as long as it would be. */
const sessions = {
  sameHost: {
    title: 'A session resumed on its own host: the certificate is still forwarded',
    expected: 'itself',
    bothVersions: true,
    requests: [
      { host: api, client: 'client', itself: true, forged: 'plain', session: { host: api, client: 'client' } },
    ],
  },
  fromOpenHost: {
    title: 'A session of a host without client authentication, resumed on the protected one',
    expected: 'refused',
    bothVersions: true,
    requests: [
      { host: api, forged: 'plain', session: { host: open } },
      { host: api, forged: 'plain', session: { host: optional } },
    ],
  },
  fromOtherHost: {
    title: 'A session of another server’s host, with a certificate of its CA, resumed on the protected one',
    expected: 'refused',
    remedy: {
      lets: Outcome.accepted,
      by: 'settings',
      text: 'The driver `haproxy` does nothing before the platform says that `config-global` has `tune.ssl.cachesize 0`.',
    },
    bothVersions: true,
    requests: [
      { host: api, forged: 'plain', session: { host: other, client: 'ofOtherCa' } },
      { host: api, forged: 'plain', session: { host: request, client: 'selfSigned' } },
    ],
  },
  removedCa: {
    title: 'A session from before its CA was removed',
    expected: 'refused',
    remedy: {
      lets: Outcome.accepted,
      by: 'settings',
      text: 'ingress-nginx: `ssl-session-cache: "false"`, and `ssl-session-tickets: "false"` (its default).',
    },
    bothVersions: true,
    caRemoved: true,
    requests: [
      { host: api, session: { host: api, client: 'client' } },
      { host: api, client: 'client', session: { host: api, client: 'client' } },
    ],
  },
} as const satisfies Record<string, Case>;

export const cases = { ...headers, ...ways, ...certificates, ...sessions };
export type CaseName = keyof typeof cases;
