const unit = { h: 3_600_000, m: 60_000, s: 1_000 } as const;

/** Milliseconds of a Go duration made of hours, minutes and seconds; the schema has checked its form. */
export function durationMs(text: string): number {
  let total = 0;
  for (const [, digits, letter] of text.matchAll(/(\d+)([hms])/g)) {
    if (letter === 'h' || letter === 'm' || letter === 's') total += Number(digits) * unit[letter];
  }
  return total;
}

/** The shortest Go duration that says the same, to whole seconds. */
export function durationString(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor((seconds % 3600) / 60), 'm'],
    [seconds % 60, 's'],
  ] as const;
  return (
    parts
      .filter(([n]) => n > 0)
      .map(([n, letter]) => `${n}${letter}`)
      .join('') || '0s'
  );
}
