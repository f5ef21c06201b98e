/** What an authorization server, or something before it, does wrong on the wire. */
import { waitFor } from '../support/wait-for.ts';
import type { ServerAnswer, ServerFault, ServerRequest } from '../support/server-proxy.ts';
import { over, type FaultCase } from './fault-case.ts';
import type { ServerFaultWorld } from './authorization-server-world.ts';

const AREA = 'Authorization server';
type ServerFaultCase = FaultCase<ServerFaultWorld>;
type When = (request: ServerRequest) => boolean;

const is =
  (method: string): When =>
  ({ method: asked, path }) =>
    asked === method && path.startsWith('/reg');
const posts = is('POST');
const puts = is('PUT');
const deletes = is('DELETE');
const gets = is('GET');
const registers: When = ({ path }) => path.startsWith('/reg');
const writes: When = (request) => posts(request) || puts(request) || deletes(request);

interface Rule {
  when: When;
  fault: ServerFault;
  /** For each of the servers. */
  times?: number;
  /** Default: both servers. */
  on?: 'corporate' | 'selfSigned';
}

/** Each of them is met before it ends, by each server's clients. */
function during(...rules: readonly Rule[]): ServerFaultCase['begin'] {
  return (world) => {
    const injections = rules.flatMap(({ when, fault, times, on }) =>
      (on === undefined ? (['corporate', 'selfSigned'] as const) : [on]).map((server) =>
        world[server].inject(when, fault, times),
      ),
    );
    return Promise.resolve(async () => {
      for (const injection of injections) await over(injection);
    });
  };
}

const tearDown = ({ corporate, selfSigned }: ServerFaultWorld): Promise<void> => {
  corporate.endInjections();
  selfSigned.endInjections();
  return Promise.resolve();
};

const answering = (status: number, body: unknown, headers: ServerAnswer['headers'] = {}): ServerFault => ({
  kind: 'answer',
  with: () => ({ status, body: typeof body === 'string' ? body : JSON.stringify(body), headers }),
});
const error = (code: string) => ({ error: code, error_description: 'as the test wants it' });
const HTML = '<html><body>Please sign in.</body></html>';
const html = { 'content-type': 'text/html' };

/** As a replica reads that has not heard of anything since. */
function asItWas({ installation }: ServerFaultWorld): ServerFault {
  const clients = new Map(installation.authorizationServer.clients().map((client) => [client['client_id'], client]));
  return {
    kind: 'replace',
    with: ({ path }) => ({ status: 200, body: JSON.stringify(clients.get(path.slice('/reg/'.length)) ?? {}) }),
  };
}

/** Of POST the first alone: it is not repeated, and each one that is lost may be one more orphan. */
const onceEach = (fault: ServerFault): Rule[] => [
  { when: posts, fault, times: 1, on: 'corporate' },
  { when: puts, fault, times: 1 },
  { when: deletes, fault, times: 1, on: 'corporate' },
];

const cases: readonly ServerFaultCase[] = [
  {
    name: 'registration reset',
    area: AREA,
    fault: 'a registration (POST) is carried out, and the connection is reset instead of an answer',
    outcome:
      'reports one suspected orphan (`OrphanSuspected`), destroys its key, and with `recovery: Recreate` registers anew',
    leaves: { orphans: 1, suspected: 1 },
    begin: during({ when: posts, fault: { kind: 'reset' }, times: 1, on: 'corporate' }),
  },
  {
    name: 'update reset',
    area: AREA,
    fault: 'updates (PUT) are carried out, and the connection is reset instead of an answer',
    outcome: 'reads what the server holds, and goes on from there',
    begin: during({ when: puts, fault: { kind: 'reset' }, times: 1 }),
  },
  {
    name: 'removal reset',
    area: AREA,
    fault: 'a deregistration (DELETE) is carried out, and the connection is reset instead of an answer',
    outcome: 'is told 401, sees that the certificate authenticates nobody, and finishes the deletion',
    begin: during({ when: deletes, fault: { kind: 'reset' }, times: 1, on: 'corporate' }),
  },
  {
    name: 'stale reads',
    area: AREA,
    fault: 'the answers to updates are lost, and for 5 s a replica reads registrations as they were before',
    outcome: 'takes what it reads for what is, and asks for the update once more',
    lastsMs: 5_000,
    async begin(world, work) {
      const lost = await during({ when: puts, fault: { kind: 'reset' }, times: 1 })(world, work);
      const stale = await during({ when: gets, fault: asItWas(world) })(world, work);
      return async () => {
        await lost();
        await stale();
      };
    },
  },
  {
    name: 'late',
    area: AREA,
    fault: 'everything is 3 s late, for 20 s',
    outcome: 'waits',
    lastsMs: 20_000,
    begin: during({ when: () => true, fault: { kind: 'delay', milliseconds: 3_000 } }),
  },
  {
    name: 'hang',
    area: AREA,
    fault:
      'one server hangs after the headers of each answer (of POST: of the first), until the clients of another are served',
    outcome: 'gives up after 10 s; the answer to a registration is lost. Clients of another server are not held up',
    leaves: { orphans: 1, suspected: 1 },
    async begin(world, work) {
      const end = await during(
        { when: posts, fault: { kind: 'headers' }, times: 1, on: 'corporate' },
        { when: (request) => !posts(request), fault: { kind: 'headers' }, on: 'corporate' },
      )(world, work);
      return async () => {
        await work.rekeyed.until(
          (status) => status.rotation?.phase === 'Draining' && status.lastHandledRenew === 'now',
        );
        await end();
      };
    },
  },
  {
    name: '401',
    area: AREA,
    fault: 'registrations (POST) are answered 401, for 5 s: the initial access token is not accepted',
    outcome: '`RegistrationUnauthorized`; tries again every 45 s',
    lastsMs: 5_000,
    begin: during({ when: posts, fault: answering(401, error('invalid_token')), on: 'corporate' }),
  },
  {
    name: '409',
    area: AREA,
    fault: 'every change of a registration is answered 409, for 5 s',
    outcome: '`RegistrationRefused`, with what the server says; tries again every 45 s',
    lastsMs: 5_000,
    begin: during({ when: writes, fault: answering(409, error('conflict')) }),
  },
  {
    name: '429',
    area: AREA,
    fault: 'every call of registration is answered 429 with Retry-After: 2, for 10 s',
    outcome: 'waits as long as it is told to',
    lastsMs: 10_000,
    begin: during({ when: registers, fault: answering(429, error('slow_down'), { 'retry-after': '2' }) }),
  },
  {
    name: '503',
    area: AREA,
    fault: 'every call of registration is answered 503, for 10 s',
    outcome: 'nothing was done: tries again, ever more slowly',
    lastsMs: 10_000,
    begin: during({ when: registers, fault: answering(503, HTML, html) }),
  },
  {
    name: '500',
    area: AREA,
    fault: 'the first POST, PUT and DELETE of each server are answered 500, and were not carried out',
    outcome: 'they may have been: an orphan is suspected; what an update did is read; a removal is repeated',
    leaves: { orphans: 0, suspected: 1 },
    begin: during(...onceEach(answering(500, error('server_error')))),
  },
  {
    name: 'html',
    area: AREA,
    fault: 'the first POST, PUT and DELETE of each server are answered 200 with a web page, and were not carried out',
    outcome: 'the same, but that it is asked again after 45 s',
    leaves: { orphans: 0, suspected: 1 },
    begin: during(...onceEach(answering(200, HTML, html))),
  },
  {
    name: 'truncated',
    area: AREA,
    fault: 'the first POST, PUT and DELETE of each server are carried out, and half of the answer is missing',
    outcome: 'the same, after 45 s too',
    leaves: { orphans: 1, suspected: 1 },
    begin: during(...onceEach({ kind: 'truncate' })),
  },
  {
    name: 'refused',
    area: AREA,
    fault: 'the host of registration refuses connections, for 30 s',
    outcome: 'tries again, ever more slowly but at least every minute',
    lastsMs: 30_000,
    recoversWithinMs: 60_000,
    async begin({ corporate, selfSigned }) {
      const both = [corporate, selfSigned];
      for (const proxy of both) await proxy.close();
      return async () => {
        for (const proxy of both) await proxy.open();
      };
    },
  },
  {
    name: 'stale token endpoint',
    area: AREA,
    fault: 'for 3 s the token endpoint knows no client (`invalid_client`), as a replica that is behind',
    outcome: 'within `propagation` that means only: not yet. Nothing is published before it is proved',
    lastsMs: 3_000,
    begin({ installation: { authorizationServer } }) {
      let met = 0;
      const body = JSON.stringify(error('invalid_client'));
      authorizationServer.setFault(({ method, route }) => {
        if (method !== 'POST' || route !== '/token') return undefined;
        met += 1;
        return { kind: 'respond', status: 401, body, headers: { 'content-type': 'application/json' } };
      });
      return Promise.resolve(async () => {
        await waitFor(() => met > 0);
        authorizationServer.setFault(undefined);
      });
    },
  },
  ...(['reset', 'silence', 'refused'] as const).map(mtlsHost),
];

function mtlsHost(how: 'reset' | 'silence' | 'refused'): ServerFaultCase {
  const what = {
    reset: 'resets every connection',
    silence: 'accepts connections, and says nothing',
    refused: 'refuses connections',
  };
  // A terminator that does not take a certificate may say so with a reset: that is no failure of the server.
  const says = how === 'reset';
  return {
    name: `mtls ${how}`,
    area: AREA,
    fault: `the host of the token endpoint ${what[how]}, for ${says ? 3 : 20} s`,
    outcome: says
      ? '`NotAcceptedYet`, for a terminator may mean the certificate by it: tries again at once within `propagation`, later three times an hour'
      : 'publishes nothing that is not proved; proves it as soon as it can',
    lastsMs: says ? 3_000 : 20_000,
    recoversWithinMs: 60_000,
    async begin({ mtls }) {
      const accepted = mtls.accepted();
      if (how === 'refused') await mtls.close();
      else mtls.treat(how);
      return async () => {
        if (how === 'refused') return mtls.open();
        await waitFor(() => mtls.accepted() > accepted);
        mtls.treat('pass');
      };
    },
  };
}

export const authorizationServerFaults: readonly ServerFaultCase[] = cases.map((each) => ({ ...each, tearDown }));
