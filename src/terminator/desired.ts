import { bundleName, type BundleProjection } from './bundle-secret.ts';
import type { IngressProjection } from './ingress.ts';
import type { Member, Observed } from './observed.ts';
import type { Scope } from './scope.ts';
import { isEmptyTrust } from './trust.ts';

/** What one Ingress is to have. */
export interface Wanted {
  annotations: Readonly<Record<string, string>>;
  server: string;
  scope: Scope;
  /** Undefined: a bundle that trusts nobody. */
  ca: string | undefined;
}

export interface Desired {
  /** By the Ingress's uid; absent where it cannot be said. */
  wanted: ReadonlyMap<string, Wanted>;
}

export function desired({ scope, members }: Pick<Observed, 'scope' | 'members'>): Desired {
  return {
    wanted: new Map(
      members.flatMap((member) => {
        const wanted = wantedBy(member, scope);
        return wanted === undefined ? [] : [[member.ingress.uid, wanted] as const];
      }),
    ),
  };
}

function wantedBy({ ingress, optedIn, driver, server, trust }: Member, scope: Scope): Wanted | undefined {
  if (!optedIn || ingress.optIn.invalid !== undefined || driver === undefined) return undefined;
  if (server === undefined || trust === undefined || trust.error !== undefined) return undefined;
  // Issuers that have no CA yet are no reason to trust nobody for good.
  if (trust.bundle === undefined && trust.pending.length > 0) return undefined;
  return {
    annotations: driver.render({
      bundleSecret: { namespace: ingress.namespace, name: bundleName(scope) },
      mode: ingress.optIn.clientCertificates,
      depth: trust.bundle?.depth ?? 1,
    }),
    server: server.metadata.name,
    scope,
    ca: trust.bundle?.pem,
  };
}

/** Whether the Secret is, byte for byte, what the terminator is to read. */
export function bundleHolds(bundle: BundleProjection | undefined, wanted: Wanted): boolean {
  if (bundle?.ca === undefined || bundle.type !== 'Opaque' || bundle.deleting) return false;
  const { scope, server, dataKeys, ca } = bundle;
  if (scope?.host !== wanted.scope.host || scope.controller !== wanted.scope.controller) return false;
  if (server !== wanted.server || dataKeys.length !== 1) return false;
  return wanted.ca === undefined ? isEmptyTrust(ca) : ca === wanted.ca;
}

/** Written again and again, it is the same. */
export function bundleContent({ server, ca }: Wanted): string {
  return `${server} ${ca ?? ''}`;
}

/** Keys whose value is not the wanted one. */
export function differingKeys(ingress: IngressProjection, { annotations }: Wanted): string[] {
  return Object.keys(annotations).filter((key) => ingress.driverAnnotations[key] !== annotations[key]);
}

/** Keys that were ours and are wanted no more. */
export function leftoverKeys(ingress: IngressProjection, { annotations }: Wanted): string[] {
  return ingress.ownKeys.filter((key) => annotations[key] === undefined);
}

/** As a person writes them into a manifest. */
export function writtenOut(annotations: Readonly<Record<string, string>>): string {
  return Object.entries(annotations)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
    .join(', ');
}

/** The bundle has the CAs, in whatever order and company its owner put them there. */
export function holdsTrustedCas({ bundle, trust }: Member): boolean {
  if (bundle === undefined || bundle.hashes.length === 0) return false;
  return trust?.bundle?.hashes.every((hash) => bundle.hashes.includes(hash)) ?? true;
}
