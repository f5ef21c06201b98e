/** Header lines that say that one is the victim: as the product itself would write them, and as it would not. */
import { type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import { names, sentBy } from '../verifier/product-headers.ts';

/** Of one request. */
export interface Forged {
  lines: readonly string[];
  /** After the headers. */
  body?: string;
}

type Field = readonly [name: string, value: string];
/** @param own fields of the product whose header the API reads; `others` those of all other products */
type Forgery = (own: readonly Field[], others: readonly (readonly Field[])[], reads: string) => readonly Forged[];

const line = ([name, value]: Field): string => `${name}: ${value}`;
const renamed = (fields: readonly Field[], rename: (name: string) => string): Forged => ({
  lines: fields.map(([name, value]) => line([rename(name), value])),
});
const capitalised = (name: string): string =>
  name.replaceAll(/(^|-)(.)/g, (_all, dash, c) => `${dash}${String(c).toUpperCase()}`);

/** Ways to write a field line that one parser reads and another does not (RFC 9112 §5). */
const misspellings: readonly ((name: string, value: string) => string)[] = [
  (name, value) => `${name} : ${value}`,
  (name, value) => `${name}\t: ${value}`,
  (name, value) => ` ${name}: ${value}`,
  (name, value) => `X-Before: 1\n${name}: ${value}`,
  (name, value) => `X-Before: 1\r${name}: ${value}`,
  (name, value) => `X-Before: 1\r\n\t${name}: ${value}`,
  (name, value) => `${name}:\r\n ${value}`,
  (name, value) => `${name}\0: ${value}`,
];

const forgeries = {
  plain: (own) => [renamed(own, (name) => name)],
  capitals: (own) => [renamed(own, capitalised), renamed(own, (name) => name.toUpperCase())],
  underscore: (own) => [
    renamed(own, (name) => name.replaceAll('-', '_')),
    renamed(own, (name) => name.replace('-', '_')),
  ],
  repeated: (own) => {
    const [lines, empty] = [own.map(line), own.map(([name]) => `${name}:`)];
    return [{ lines: [...lines, ...lines] }, { lines: [...empty, ...lines] }, { lines: [...lines, ...empty] }];
  },
  misspelt: (own) => misspellings.map((spell) => ({ lines: own.map((field) => spell(...field)) })),
  trailer: (own) => [
    { lines: ['Transfer-Encoding: chunked'], body: `1\r\nx\r\n0\r\n${own.map(line).join('\r\n')}\r\n\r\n` },
  ],
  hopByHop: (own) => {
    const lines = own.map(line);
    const connection = `Connection: close, ${own.map(([name]) => name).join(', ')}`;
    return [{ lines: [connection] }, { lines: [connection, ...lines] }, { lines: [...lines, connection] }];
  },
  encodings: (own, others, reads) =>
    others
      .flatMap((fields) => fields.slice(0, 1))
      .map(([, value]) => ({
        lines: own.map(([name, mine]) => line([name, name === reads ? value : mine])),
      })),
  foreign: (_own, others, reads) =>
    others.map((fields) => ({ lines: fields.filter(([name]) => name !== reads).map(line) })),
} satisfies Record<string, Forgery>;

export type ForgeryName = keyof typeof forgeries;

/** Fields of a product about the victim, the certificate first. */
function fieldsOf(terminator: TerminatorName, victim: Buffer): Field[] {
  const { certificate } = terminators[terminator];
  return Object.entries(sentBy(terminator, victim))
    .flatMap(([name, values]) => (values ?? []).map((value) => [name, value] as const))
    .toSorted(([a], [b]) => Number(b === certificate) - Number(a === certificate));
}

/** @param terminator whose header the API reads */
export function forge(name: ForgeryName, terminator: TerminatorName, victim: Buffer): readonly Forged[] {
  const others = names.filter((each) => each !== terminator).map((each) => fieldsOf(each, victim));
  return forgeries[name](fieldsOf(terminator, victim), others, terminators[terminator].certificate);
}

/** Values of every product's certificate header that speak for the victim. */
export function valuesFor(victim: Buffer): string[] {
  return names.flatMap((name) =>
    fieldsOf(name, victim)
      .slice(0, 1)
      .map(([, value]) => value),
  );
}
