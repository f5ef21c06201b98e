/**
 * Envoy's X-Forwarded-Client-Cert: a list of elements, one from each proxy, each of `key=value` pairs.
 * @see Envoy, "HTTP header manipulation", x-forwarded-client-cert
 */
import { createHash } from 'node:crypto';
import type { Certificates } from './base64-der.ts';
import { decodeEscapedPem, decodeEscapedPemChain } from './escaped-pem.ts';
import { CertificateHeaderError } from './refusal.ts';

interface Value {
  text: string;
  quoted: boolean;
}

/** By key in lower case, for keys do not differ by case. */
type Element = Map<string, Value>;

/** Envoy writes By, URI and DNS once a name; nothing else comes twice. */
const REPEATABLE = new Set(['by', 'uri', 'dns']);

/** The quote that ends a value; a backslash takes the next character's meaning away. */
function closingQuote(line: string, from: number): number {
  for (let at = from; at < line.length; at += 1) {
    if (line[at] === '\\') at += 1;
    else if (line[at] === '"') return at;
  }
  throw new CertificateHeaderError('BadSyntax');
}

function elementsOf(line: string): Element[] {
  const key = /([A-Za-z]+)=/y;
  // Envoy itself leaves a URI bare that has a `=`, against its own documentation.
  const bare = /[^",;]*/y;
  const elements: Element[] = [new Map()];
  for (let at = 0; ; at += 1) {
    key.lastIndex = at;
    const name = key.exec(line)?.[1]?.toLowerCase();
    const element = elements.at(-1);
    if (name === undefined || element === undefined || (element.has(name) && !REPEATABLE.has(name))) {
      throw new CertificateHeaderError('BadSyntax');
    }
    at = key.lastIndex;
    const quoted = line[at] === '"';
    const from = quoted ? at + 1 : at;
    bare.lastIndex = from;
    const to = quoted ? closingQuote(line, from) : from + (bare.exec(line)?.[0].length ?? 0);
    element.set(name, { text: line.slice(from, to), quoted });
    at = quoted ? to + 1 : to;
    if (at === line.length) return elements;
    if (line[at] === ',') elements.push(new Map());
    else if (line[at] !== ';') throw new CertificateHeaderError('BadSyntax');
  }
}

/** Envoy quotes these always. */
function quotedValue(element: Element, key: string): string | undefined {
  const value = element.get(key);
  if (value?.quoted === false) throw new CertificateHeaderError('BadSyntax');
  return value?.text;
}

/**
 * The decoder for a header to which this many trusted proxies have each added an element.
 *
 * The first element is the outermost proxy's, about the client; those after it are about proxies. It counts only if
 * there are exactly as many as there are proxies: one more is the client's own. It must begin with what a client cannot
 * choose: Envoy escapes neither Subject nor URI nor DNS, so that a certificate with the right name writes pairs and
 * elements of its own behind these. Hash, Cert and Chain come before them, and none may come twice.
 *
 * @param proxies Default 1: the terminator alone, with SANITIZE_SET. With a sidecar that appends, 2.
 */
export function xfccDecoder(proxies = 1): (line: string) => Certificates {
  return (line) => {
    const elements = elementsOf(line);
    const [element] = elements;
    if (element === undefined || elements.length !== proxies) throw new CertificateHeaderError('UnexpectedElements');
    const cert = quotedValue(element, 'cert');
    const chain = quotedValue(element, 'chain');
    const alone = cert === undefined ? undefined : decodeEscapedPem(cert);
    const certificates = chain === undefined ? alone : decodeEscapedPemChain(chain);
    if (certificates === undefined) throw new CertificateHeaderError('Absent');
    const [leaf] = certificates;
    const hash = createHash('sha256').update(leaf).digest('hex');
    // Chain has the leaf too. With both, either could be read: they must agree.
    if (alone?.[0].equals(leaf) === false || element.get('hash')?.text !== hash) {
      throw new CertificateHeaderError('HashMismatch');
    }
    return certificates;
  };
}
