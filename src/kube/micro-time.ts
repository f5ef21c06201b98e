/** meta/v1 MicroTime: six decimals; Date has three. */
export function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/Z$/, '000Z');
}
