/** Headers that say who one would like to be. */
import { terminators } from '../../../src/verifier/terminators.ts';
import { names, sentBy } from '../../verifier/product-headers.ts';
import { Host } from '../field.ts';
import type { Field } from '../field.ts';
import { type Attack, each, harmless, harmlessOrUnread, itself } from './attack.ts';

/** With such lines, as a client of its own and, where one may, as nobody. */
async function withLines(field: Field, lines: readonly string[], body = ''): Promise<(string | undefined)[]> {
  const { client } = field.people;
  const { optional } = field.product.driver.capabilities;
  const asClient = await field.attempt({ host: Host.api, client, mayBe: client, lines, body });
  return [asClient, optional ? await field.attempt({ host: Host.optional, lines, body }) : undefined];
}

const mixed = (name: string): string =>
  name.replaceAll(/(^|-)(.)/g, (_all, dash, c) => `${dash}${String(c).toUpperCase()}`);

/** Ways to write a field line that one parser reads and another does not (RFC 9112 §5). */
const spellings: readonly ((name: string, value: string) => string)[] = [
  (name, value) => `${name} : ${value}`,
  (name, value) => `${name}\t: ${value}`,
  (name, value) => ` ${name}: ${value}`,
  (name, value) => `X-Before: 1\n${name}: ${value}`,
  (name, value) => `X-Before: 1\r${name}: ${value}`,
  (name, value) => `X-Before: 1\r\n\t${name}: ${value}`,
  (name, value) => `${name}:\r\n ${value}`,
  (name, value) => `${name}\0: ${value}`,
];

function split(line: string): [name: string, value: string] {
  const at = line.indexOf(': ');
  return [line.slice(0, at), line.slice(at + 2)];
}

export const headerAttacks = {
  forged: {
    title: 'Forged header',
    safe: harmless,
    run: (field) => withLines(field, field.forgedLines()),
  },
  capitals: {
    title: 'Forged header, in capitals',
    safe: harmless,
    run: async (field) => [
      ...(await withLines(field, field.forgedLines(mixed))),
      ...(await withLines(
        field,
        field.forgedLines((name) => name.toUpperCase()),
      )),
    ],
  },
  underscore: {
    title: 'Forged header, `_` for `-`',
    safe: harmless,
    remedy: {
      by: 'elsewhere',
      text: 'The API must not take `_` for `-`: src/verifier does not, WSGI, CGI and PHP do. Traefik: `underscoreHeadersStrategy: reject`.',
    },
    run: async (field) => {
      const all = await withLines(
        field,
        field.forgedLines((name) => name.replaceAll('-', '_')),
      );
      const one = await withLines(
        field,
        field.forgedLines((name) => name.replace('-', '_')),
      );
      return [...all, ...one];
    },
  },
  repeated: {
    title: 'Forged header, several times, or beside an empty one',
    safe: harmless,
    run: async (field) => {
      const forged = field.forgedLines();
      const empty = forged.map((line) => `${split(line)[0]}:`);
      const variants = [
        [...forged, ...forged],
        [...empty, ...forged],
        [...forged, ...empty],
      ];
      const outcomes: (string | undefined)[] = [];
      for (const lines of variants) outcomes.push(...(await withLines(field, lines)));
      return outcomes;
    },
  },
  misspelt: {
    title: 'Forged header, as parsers read it differently (spaces, folding, bare CR or LF, NUL)',
    // A folded line is part of the value before it.
    safe: harmlessOrUnread,
    run: async (field) => {
      const outcomes: (string | undefined)[] = [];
      for (const spell of spellings) {
        const lines = field.forgedLines().map((line) => spell(...split(line)));
        outcomes.push(...(await withLines(field, lines)));
      }
      return outcomes;
    },
  },
  trailer: {
    title: 'Forged header, in the trailers of a chunked body',
    safe: harmless,
    run: (field) =>
      withLines(field, ['Transfer-Encoding: chunked'], `1\r\nx\r\n0\r\n${field.forgedLines().join('\r\n')}\r\n\r\n`),
  },
  hopByHop: {
    title: '`Connection:` names the certificate’s headers',
    safe: itself,
    run: async (field) => {
      const { client } = field.people;
      const forged = field.forgedLines();
      const connection = `Connection: close, ${forged.map((line) => split(line)[0]).join(', ')}`;
      return each([[connection], [connection, ...forged], [...forged, connection]], (lines) =>
        field.attempt({ host: Host.api, client, mayBe: client, lines }),
      );
    },
  },
  foreignHeaders: {
    title: 'Forged headers of all other products',
    safe: harmlessOrUnread,
    run: async (field) => {
      const { client, victim } = field.people;
      const own = terminators[field.header].certificate;
      const others = names.filter((name) => terminators[name].certificate !== own);
      return each(others, (name) => {
        const sent = Object.entries(sentBy(name, victim.der)).filter(([header]) => header !== own);
        const lines = sent.flatMap(([header, values]) => (values ?? []).map((value) => `${header}: ${value}`));
        return field.attempt({ host: Host.api, client, mayBe: client, lines });
      });
    },
  },
  verdict: {
    title: 'Forged header beside a self-signed certificate, where any is taken',
    safe: harmless,
    run: async (field) => {
      if (!field.product.driver.capabilities.request) return [];
      const { selfSigned } = field.people;
      return [
        await field.attempt({
          host: Host.request,
          client: selfSigned,
          mayBe: selfSigned,
          lines: field.forgedLines(),
        }),
        await field.attempt({ host: Host.request, lines: field.forgedLines() }),
      ];
    },
  },
  http2: {
    title: 'Forged header, by HTTP/2',
    safe: harmless,
    run: async (field) => {
      const { client } = field.people;
      return [await field.coalesced(Host.api, { host: Host.api, client, mayBe: client, lines: field.forgedLines() })];
    },
  },
} satisfies Record<string, Attack>;
