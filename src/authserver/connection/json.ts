/** Deeper than any answer of a server, and far from where walking through it would end the stack. */
const DEEPEST = 64;

/** Undefined for what is no JSON or nested without end: SyntaxError's message quotes the text, which may hold a token. */
export function parseJson(body: Buffer): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    return depthOf(text) > DEEPEST ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of brackets outside strings; of what is no JSON anything. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === '\\') at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === '{' || character === '[') deepest = Math.max(deepest, ++depth);
    else if (character === '}' || character === ']') depth -= 1;
  }
  return deepest;
}
