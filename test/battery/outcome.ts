/** What came of a request, in the words of docs/terminators.md. */
import type { Arrival } from './backend.ts';
import type { Answer } from './wire.ts';

export const Outcome = {
  /** Or right after it: no word of HTTP came back. */
  handshake: 'refused in the handshake',
  redirected: 'redirected to https',
  /** No certificate header, or an empty one. */
  nobody: 'arrives without a certificate',
  /** With the certificate of this very connection, verified. */
  itself: 'arrives as itself',
  /** In a header that is not the product's own. */
  unread: 'arrives as sent, not read',
  /** Taken for somebody that the client is not, or whose certificate counts for nothing there. */
  accepted: '**accepted**',
  notApplicable: 'not applicable',
} as const;

const refused = (status: number): string => `refused (${status})`;
const unbelieved = (code: string): string => `arrives, not believed (${code})`;

export const isRefused = (outcome: string): boolean => outcome.startsWith('refused') || outcome === Outcome.redirected;

/** Whatever the client said it is, it is nobody or itself. */
export const isHarmless = (outcome: string): boolean =>
  isRefused(outcome) ||
  outcome === Outcome.nobody ||
  outcome === Outcome.itself ||
  outcome.startsWith('arrives, not believed');

export interface Seen {
  answer: Answer;
  arrival: Arrival | undefined;
  /** DER of the only certificate that the request may be taken for. */
  mayBe: Uint8Array | undefined;
  /** Header values that speak for the victim. */
  forged: readonly string[];
}

export function outcomeOf({ answer, arrival, mayBe, forged }: Seen): string {
  if (arrival === undefined) {
    if (answer.kind === 'refused') return Outcome.handshake;
    return answer.status >= 300 && answer.status < 400 ? Outcome.redirected : refused(answer.status);
  }
  const { believed, lines } = arrival;
  if (typeof believed !== 'string') {
    return mayBe !== undefined && Buffer.from(mayBe).equals(believed) ? Outcome.itself : Outcome.accepted;
  }
  if (believed !== 'Absent') return unbelieved(believed);
  const arrived = Object.values(lines).flatMap((values) => values ?? []);
  return arrived.some((value) => forged.some((text) => value.includes(text))) ? Outcome.unread : Outcome.nobody;
}
