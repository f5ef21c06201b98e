/** Certificates that are not the victim's. */
import { type Attempt, Host } from '../field.ts';
import type { Field } from '../field.ts';
import { type Attack, each, harmless, itself, refused } from './attack.ts';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** At the victim's host, and where a certificate is optional; by both versions of TLS. */
async function atBoth(field: Field, attempt: Omit<Attempt, 'host'>): Promise<(string | undefined)[]> {
  const hosts = field.product.driver.capabilities.optional ? [Host.api, Host.optional] : [Host.api];
  const variants = hosts.flatMap((host) => versions.map((version) => ({ host, hello: { version } })));
  return each(variants, (variant) => field.attempt({ ...attempt, ...variant }));
}

export const certificateAttacks = {
  absent: {
    title: 'No certificate',
    safe: refused,
    run: (field) => each(versions, (version) => field.attempt({ host: Host.api, hello: { version } })),
  },
  foreign: {
    title: 'The victim’s name, by a CA that is trusted nowhere, or on another host',
    safe: harmless,
    run: async (field) => {
      const { ofForeignCa, ofOtherCa } = field.people;
      return [...(await atBoth(field, { client: ofForeignCa })), ...(await atBoth(field, { client: ofOtherCa }))];
    },
  },
  selfSigned: {
    title: 'The victim’s name, self-signed',
    safe: harmless,
    run: (field) => atBoth(field, { client: field.people.selfSigned }),
  },
  selfSignedCa: {
    title: 'The victim’s name, self-signed with CA:TRUE; and issued by such a one, which is sent along',
    safe: harmless,
    run: async (field) => {
      const { ownCa, ofOwnCa } = field.people;
      const chain = { certPem: ofOwnCa.certPem + ownCa.certPem, keyPem: ofOwnCa.keyPem };
      return [...(await atBoth(field, { client: ownCa })), ...(await atBoth(field, { client: chain }))];
    },
  },
  anchor: {
    title: 'The same, were it in the bundle',
    safe: harmless,
    remedy: {
      by: 'elsewhere',
      text: 'Bundles hold the CAs of issuers alone; self-signed clients get a host of their own: `SelfSignedOnSharedHost`.',
    },
    run: async (field) => [await field.attempt({ host: Host.anchor, client: field.people.ofOwnCa })],
  },
  ofLeaf: {
    title: 'The victim’s name, issued by a client’s certificate, which is sent along',
    safe: harmless,
    run: (field) => {
      const { client, ofClient } = field.people;
      return atBoth(field, { client: { certPem: ofClient.certPem + client.certPem, keyPem: ofClient.keyPem } });
    },
  },
  appended: {
    title: 'The victim’s certificate behind one’s own',
    safe: harmless,
    run: (field) => {
      const { client, victim } = field.people;
      const certPem = client.certPem + victim.certPem;
      return atBoth(field, { client: { certPem, keyPem: client.keyPem }, mayBe: client });
    },
  },
  expired: {
    title: 'An expired certificate',
    safe: harmless,
    run: (field) => atBoth(field, { client: field.people.expired }),
  },
  serverOnly: {
    title: 'A certificate of the CA for servers alone (extended key usage)',
    safe: harmless,
    run: (field) => atBoth(field, { client: field.people.serverOnly }),
  },
  large: {
    title: 'A certificate of 8 KB',
    safe: itself,
    run: async (field) => {
      const { large } = field.people;
      return [await field.attempt({ host: Host.api, client: large, mayBe: large })];
    },
  },
  tooLarge: {
    title: 'A certificate of 14 KB, and one of 110 KB, with a forged header',
    safe: harmless,
    run: async (field) => {
      const { tooLarge, huge } = field.people;
      return each([tooLarge, huge], (client) =>
        field.attempt({ host: Host.api, client, mayBe: client, lines: field.forgedLines() }),
      );
    },
  },
  fullBundle: {
    title: 'An honest client, where the bundle is full (24 KB of names)',
    safe: itself,
    run: async (field) => {
      const { client } = field.people;
      return each(versions, (version) => field.attempt({ host: Host.full, client, mayBe: client, hello: { version } }));
    },
  },
} satisfies Record<string, Attack>;
