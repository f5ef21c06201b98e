/** RFC 3339 in whole seconds, as metav1.Time and certificates have it. */
export function wholeSeconds(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
