import { type BundleProjection, bundleName } from './bundle.ts';
import type { CompanionProjection } from './companion.ts';
import type { Companion, Settings, TerminatorDriver } from './driver.ts';
import { canonicalJson, isSpec } from './frontends/settings.ts';
import type { Frontend } from './frontends/frontend.ts';
import type { Member, Observed } from './observed.ts';
import type { Scope } from './scope.ts';
import { isEmptyTrust } from '../x509/trust.ts';

/** What one frontend is to have. */
export interface Wanted {
  settings: Settings;
  companions: readonly Companion[];
  bundleKind: TerminatorDriver['bundleKind'];
  server: string;
  scope: Scope;
  /** Undefined: a bundle that trusts nobody. */
  ca: string | undefined;
}

export interface Desired {
  /** By the frontend's uid; absent where it cannot be said. */
  wanted: ReadonlyMap<string, Wanted>;
}

export function desired({ scope, members }: Pick<Observed, 'scope' | 'members'>): Desired {
  return {
    wanted: new Map(
      members.flatMap((member) => {
        const wanted = wantedBy(member, scope);
        return wanted === undefined ? [] : [[member.frontend.uid, wanted] as const];
      }),
    ),
  };
}

function wantedBy(
  { frontend, optedIn, driver, classAnnotations, server, trust }: Member,
  scope: Scope,
): Wanted | undefined {
  if (!optedIn || frontend.optIn.invalid !== undefined || driver === undefined) return undefined;
  if (!canAsk(driver, frontend)) return undefined;
  if (driver.missing?.({ settings: frontend.settings, classAnnotations }) !== undefined) return undefined;
  if (server === undefined || trust === undefined || trust.error !== undefined) return undefined;
  // Issuers that have no CA yet are no reason to trust nobody for good.
  if (trust.bundle === undefined && trust.pending.length > 0) return undefined;
  return {
    ...driver.render({
      bundle: { namespace: frontend.namespace, name: bundleName(scope) },
      frontend,
      mode: frontend.optIn.clientCertificates,
      classAnnotations,
      depth: trust.bundle?.depth ?? 1,
    }),
    bundleKind: driver.bundleKind,
    server: server.metadata.name,
    scope,
    ca: trust.bundle?.pem,
  };
}

/** Whether the product can do what the owner asks for. */
export function canAsk({ capabilities }: TerminatorDriver, { optIn }: Pick<Frontend, 'optIn'>): boolean {
  return optIn.clientCertificates === 'required' || capabilities[optIn.clientCertificates];
}

/** Whether the bundle is, byte for byte, what the terminator is to read. */
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

export const companionContent = ({ spec }: Companion): string => canonicalJson(spec);

/** Of those that a frontend is to have, the ones that are missing or other than they should be. */
export function companionsToWrite(
  { companions }: Pick<Member, 'companions'>,
  wanted: Wanted,
): { companion: Companion; current: CompanionProjection | undefined }[] {
  return wanted.companions.flatMap((companion) => {
    const current = companions.find(
      ({ resource, name }) => resource.kind === companion.resource.kind && name === companion.name,
    );
    const holds =
      current !== undefined &&
      !current.deleting &&
      current.server === wanted.server &&
      current.scope?.host === wanted.scope.host &&
      current.scope.controller === wanted.scope.controller &&
      current.spec === companionContent(companion);
    return holds ? [] : [{ companion, current }];
  });
}

/** Keys whose value is not the wanted one. */
export function differingKeys(frontend: Frontend, { settings }: Wanted): string[] {
  return Object.keys(settings).filter((key) => frontend.settings[key] !== settings[key]);
}

/** Keys that were ours and are wanted no more. */
export function leftoverKeys(frontend: Frontend, { settings }: Wanted): string[] {
  return frontend.ownKeys.filter((key) => settings[key] === undefined);
}

/** As a person writes them into a manifest. */
export function writtenOut(settings: Settings): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}: ${isSpec(key) ? value : JSON.stringify(value)}`)
    .join(', ');
}

/** The bundle has the CAs, in whatever order and company its owner put them there. */
export function holdsTrustedCas({ bundle, trust }: Member): boolean {
  if (bundle === undefined || bundle.hashes.length === 0) return false;
  return trust?.bundle?.hashes.every((hash) => bundle.hashes.includes(hash)) ?? true;
}
