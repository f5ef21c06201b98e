/** Versions of products, as their classes have them. */

export type Version = readonly number[] & { readonly preRelease?: boolean };

const text = /^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(-[0-9A-Za-z.-]{1,64})?(\+[0-9A-Za-z.-]{1,64})?$/;

/** Undefined for what is no version (`latest`, a digest). */
export function parseVersion(said: string): Version | undefined {
  const [, major, minor, patch = '0', preRelease] = text.exec(said.trim()) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return Object.assign([major, minor, patch].map(Number), { preRelease: preRelease !== undefined });
}

/** @param minimum e.g. `3.7.11`; a pre-release of it is below it */
export function isBelow(version: Version, minimum: string): boolean {
  for (const [at, least] of (parseVersion(minimum) ?? []).entries()) {
    const part = version[at] ?? 0;
    if (part !== least) return part < least;
  }
  return version.preRelease === true;
}
