import { z } from 'zod';

const longestText = 300;
/** Of a megabyte that somebody chose, the patterns below would look for tokens for hours. */
const longestRead = 2_048;
export const WITHHELD = '(withheld: it repeats a secret)';
/** Compact JWS (RFC 7515 §7.1), whoever it was issued to; its header alone is enough. */
const compactJws = /\beyJ[\w-]{8,}\.[\w-]{8,}/;

/** A token may come back cut short; any piece of it this long counts as the token. */
const tokenPiece = 12;

/**
 * Text of a server as our messages may quote it: one line of visible characters, at most 300, and nothing that carries a
 * piece of a secret that we sent.
 */
export function quotable(text: string, secrets: readonly (string | undefined)[] = []): string {
  const visible = text
    .slice(0, longestRead)
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, ' ')
    .replace(/\s+/gu, ' ')
    .trim();
  if (compactJws.test(visible) || secrets.some((secret) => secret !== undefined && carries(visible, secret)))
    return WITHHELD;
  const characters = Array.from(visible);
  return characters.length > longestText ? `${characters.slice(0, longestText - 1).join('')}…` : visible;
}

function carries(text: string, secret: string): boolean {
  return [secret, encodeURIComponent(secret)].some((form) => {
    const size = Math.min(tokenPiece, form.length);
    if (size === 0) return false;
    for (let at = 0; at + size <= form.length; at++) if (text.includes(form.slice(at, at + size))) return true;
    return false;
  });
}

/** Whether a value of an answer holds one of the secrets. The whole of it: names that we gave may be part of a token. */
export function repeats(value: unknown, secrets: readonly (string | undefined)[]): boolean {
  const text = JSON.stringify(value) ?? '';
  return secrets.some((secret) => secret !== undefined && secret.length >= tokenPiece && text.includes(secret));
}

const oauthError = z.looseObject({
  error: z.string().min(1),
  error_description: z.string().optional().catch(undefined),
});

/** `error` of an OAuth error answer (RFC 6749 §5.2, RFC 7591 §3.2.2); undefined for anything else. */
export function oauthErrorCode(json: unknown): string | undefined {
  const parsed = oauthError.safeParse(json);
  return parsed.success ? parsed.data.error : undefined;
}

/** ` It says: invalid_client (…).`, or nothing where the answer is no OAuth error. */
export function serverSays(json: unknown, secrets: readonly (string | undefined)[] = []): string {
  const parsed = oauthError.safeParse(json);
  if (!parsed.success) return '';
  const { error, error_description: description } = parsed.data;
  const words = description === undefined ? error : `${error}: ${description}`;
  return ` It says: ${quotable(words, secrets).replace(/\.$/, '')}.`;
}
