/** TLS sessions: who was let in once is to be let in again only where and as long as it would be. */
import { Host } from '../field.ts';
import type { Attempt, Field } from '../field.ts';
import { renamed } from '../wire.ts';
import { type Attack, each, harmless, itself, refused } from './attack.ts';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** The session of one request, taken to another: with the header that would be believed there. */
async function carried(field: Field, from: Attempt, to: Attempt): Promise<(string | undefined)[]> {
  return each(versions, async (version) => {
    const { session } = await field.exchange({ ...from, hello: { version } });
    return field.attempt({ ...to, hello: { version, session: renamed(session, from.host, to.host) } });
  });
}

export const sessionAttacks = {
  sameHost: {
    title: 'A session resumed on its own host: the certificate is still forwarded',
    safe: itself,
    run: async (field) => {
      const { client } = field.people;
      return carried(
        field,
        { host: Host.api, client, mayBe: client },
        { host: Host.api, client, mayBe: client, lines: field.forgedLines() },
      );
    },
  },
  fromOpenHost: {
    title: 'A session of a host without client authentication, resumed on the protected one',
    safe: refused,
    run: async (field) => {
      const to = { host: Host.api, lines: field.forgedLines() };
      const { optional } = field.product.driver.capabilities;
      return [
        ...(await carried(field, { host: Host.open }, to)),
        ...(optional ? await carried(field, { host: Host.optional }, to) : []),
      ];
    },
  },
  fromOtherHost: {
    title: 'A session of another server’s host, with a certificate of its CA, resumed on the protected one',
    safe: refused,
    remedy: {
      by: 'settings',
      text: 'The driver `haproxy` does nothing before the platform says that `config-global` has `tune.ssl.cachesize 0`.',
    },
    run: async (field) => {
      const { ofOtherCa, selfSigned } = field.people;
      const to = { host: Host.api, lines: field.forgedLines() };
      const { request } = field.product.driver.capabilities;
      return [
        ...(await carried(field, { host: Host.other, client: ofOtherCa }, to)),
        ...(request ? await carried(field, { host: Host.request, client: selfSigned }, to) : []),
      ];
    },
  },
  /** The last one: the host trusts another CA from then on. */
  removedCa: {
    title: 'A session from before its CA was removed',
    safe: harmless,
    remedy: {
      by: 'settings',
      text: 'ingress-nginx: `ssl-session-cache: "false"`, `ssl-session-tickets: "false"` (its default).',
    },
    run: async (field) => {
      const { client, otherCa } = field.people;
      const before = [];
      for (const version of versions) {
        before.push({ version, ...(await field.exchange({ host: Host.api, client, hello: { version } })) });
      }
      await field.trust(otherCa.certPem);
      return each(
        before.flatMap(({ version, session }) => [
          { hello: { version, session } },
          { client, hello: { version, session } },
        ]),
        (attempt) => field.attempt({ host: Host.api, ...attempt }),
      );
    },
  },
} satisfies Record<string, Attack>;
