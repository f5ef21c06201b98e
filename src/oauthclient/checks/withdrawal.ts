import { wholeSeconds } from '../../api/time.ts';
import type { Check } from '../../runtime/pass.ts';
import type { Violation } from '../../authserver/grants.ts';
import { withdrawalEnd, withdrawnGrants } from '../withdrawal.ts';
import { Condition, NOT_GRANTED, act, stuck, type ClientFinding, type ClientStep, type ClientView } from '../step.ts';
import { leftBehindMessage } from '../left-behind.ts';
import type { RecordState } from '../record.ts';
import { answerStored } from './registration.ts';

type ClientCheck = Check<ClientView, ClientStep>;

/** The certificate names a CA that no bundle holds any more, whatever the grace. */
const UNTRUSTED =
  ' As the issuer is not granted, terminators cease to trust its CA now, and may refuse the certificate from then on.';

const sentences = (denials: readonly Violation[]) => denials.map(({ message }) => message).join(' ');

/** Public; `until` in epoch milliseconds. */
export function withdrawalMessage(
  { observed, desired }: ClientView,
  denials: readonly Violation[],
  until: number,
): string {
  const { server, record } = observed;
  const published = record?.state?.certificates.find(({ role }) => role === 'Published');
  const taken =
    published !== undefined &&
    desired.method === 'tls_client_auth' &&
    server?.spec.clients?.issuers?.includes(published.issuer) !== true;
  return (
    `What the client is registered for is no longer granted. ${sentences(denials)} It goes on working until ${wholeSeconds(until)} at the ` +
    `latest, and is then deregistered and its Secret removed, unless the platform team grants it again before.${taken ? UNTRUSTED : ''}`
  );
}

/** Before anything that a tenant's object could hold up. */
const grantWithdrawn: ClientCheck = {
  name: 'grantWithdrawn',
  find(view): ClientFinding | undefined {
    const { record } = view.observed;
    const denials = withdrawnGrants(view);
    const withdrawal = record?.state?.withdrawal;
    if (denials === undefined) return undefined;
    if (denials.length === 0) {
      if (withdrawal === undefined) return undefined;
      const message = 'What the client was registered for is granted again.';
      return act(Condition.registered, 'Granted', message, { name: 'endWithdrawal' });
    }
    const since = withdrawal?.since ?? new Date(view.now).toISOString();
    const until = withdrawalEnd(view.observed, since);
    const message = withdrawalMessage(view, denials, until);
    if (withdrawal === undefined) {
      return act(Condition.registered, NOT_GRANTED, message, { name: 'beginWithdrawal' });
    }
    if (record?.state?.registration === undefined) return undefined;
    if (view.now < until) return { ...stuck(Condition.registered, NOT_GRANTED, message), blocks: false, at: until };
    // What becomes of the registration is for the step to say.
    return {
      ...stuck(
        Condition.ready,
        NOT_GRANTED,
        `What the client is registered for is not granted since ${wholeSeconds(Date.parse(since))}: its Secret is removed, and it is being deregistered. ${sentences(denials)}`,
      ),
      blocks: false,
    };
  },
};

/** Of a client that has no registration any more, as far as it is the operator's. */
function endOf(state: RecordState, since: string): { message: string; left: string } {
  const left = leftBehindMessage(state);
  const end = left === undefined ? 'was deregistered' : 'is given up';
  return {
    message: `The client ${end}: what it was registered for is not granted since ${since}.`,
    left: left === undefined ? '' : `${left} `,
  };
}

/** What is not going to work is published no longer (P1), then who is granted nothing gets no token any more (P7). */
const deregistered: ClientCheck = {
  name: 'deregistered',
  find(view) {
    const { record, published, claim, clientIdClaim, client, server } = view.observed;
    const state = record?.state;
    const denials = withdrawnGrants(view) ?? [];
    if (state?.withdrawal === undefined || denials.length === 0) return undefined;
    const { registration, withdrawal, certificates } = state;
    if (registration !== undefined && view.now < withdrawalEnd(view.observed, withdrawal.since)) return undefined;
    if (published?.ownerUid === client.metadata.uid) {
      const message = 'The published Secret is being removed: what the client is registered for is no longer granted.';
      return act(Condition.certificate, 'WithdrawingSecret', message, { name: 'withdrawSecret' });
    }
    if (registration !== undefined) {
      const message = 'The client is being deregistered: what it is registered for is no longer granted.';
      const basis = server?.metadata.resourceVersion;
      return act(Condition.registered, 'Deregistering', message, { name: 'deregister' }, basis);
    }
    const { message, left } = endOf(state, withdrawal.since);
    if (claim?.holderUid === client.metadata.uid && claim.expires === undefined) {
      return act(Condition.registered, NOT_GRANTED, message, { name: 'releaseClaim' });
    }
    if (clientIdClaim?.holderUid === client.metadata.uid && clientIdClaim.expires === undefined) {
      return act(Condition.registered, NOT_GRANTED, message, { name: 'releaseClientId' });
    }
    if (certificates.length > 0) {
      return act(Condition.registered, NOT_GRANTED, message, { name: 'destroyKeys' });
    }
    return stuck(
      Condition.registered,
      NOT_GRANTED,
      `${message} Its Secret was removed and its keys destroyed. ${left}${sentences(denials)} ` +
        'Once everything is granted the client is registered anew.',
    );
  },
};

export const withdrawalChecks: readonly ClientCheck[] = [answerStored, grantWithdrawn, deregistered];
