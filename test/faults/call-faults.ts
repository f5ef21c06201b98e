/** Calls that are refused, fail, or are carried out though their answer never comes. */
import type { ApiRequest } from '../support/api-request.ts';
import type { ApiFault } from '../support/api-fault.ts';
import { over, type FaultCase } from './fault-case.ts';

const AREA = 'Calls';
const writing = new Set(['create', 'update', 'patch', 'delete']);
const isWrite = ({ verb }: ApiRequest) => writing.has(verb);
const isCall = ({ verb }: ApiRequest) => verb !== 'watch';
/** An own Secret is what a client's registration is stored in. */
const isRecord = (request: ApiRequest) =>
  isWrite(request) && request.resource === 'secrets' && request.namespace === 'certbound-system';

function during(when: (request: ApiRequest) => boolean, fault: ApiFault, times?: number): FaultCase['begin'] {
  return ({ proxy }) => {
    const injection = proxy.inject(when, fault, times);
    return Promise.resolve(() => over(injection));
  };
}

/** One in three, so that each step meets it somewhere. */
function everyThird(when: (request: ApiRequest) => boolean): (request: ApiRequest) => boolean {
  let count = 0;
  return (request) => when(request) && ++count % 3 === 0;
}

const busy = { kind: 'answer', status: 429, reason: 'TooManyRequests', headers: { 'retry-after': '2' } } as const;

export const callFaults: readonly FaultCase[] = [
  {
    name: '429',
    area: AREA,
    fault: 'every call is answered 429 with Retry-After: 2, for 10 s',
    outcome: 'waits as long as it is told to',
    lastsMs: 10_000,
    begin: during(isCall, busy),
  },
  {
    name: '500',
    area: AREA,
    fault: 'every call is answered 500, for 10 s',
    outcome: 'tries again, ever more slowly',
    lastsMs: 10_000,
    begin: during(isCall, { kind: 'answer', status: 500, reason: 'InternalError' }),
  },
  {
    name: '503 now and then',
    area: AREA,
    fault: 'each third call is answered 503, for 20 s',
    outcome: 'tries again',
    lastsMs: 20_000,
    begin: during(everyThird(isCall), { kind: 'answer', status: 503, reason: 'ServiceUnavailable' }),
  },
  {
    name: 'lost records',
    area: AREA,
    fault:
      'each second write of an own Secret is refused with 500, for 10 s: also after the authorization server has answered',
    outcome: 'keeps the answer in memory and stores it as soon as it can; nothing is registered twice',
    lastsMs: 10_000,
    begin(world) {
      let count = 0;
      const injection = world.proxy.inject((request) => isRecord(request) && ++count % 2 === 0, {
        kind: 'answer',
        status: 500,
        reason: 'InternalError',
      });
      return Promise.resolve(() => over(injection));
    },
  },
  {
    name: 'commit then reset',
    area: AREA,
    fault: 'each third write is carried out, and the connection is reset instead of an answer, for 20 s',
    outcome: 'reads what became of it, and goes on from there',
    lastsMs: 20_000,
    begin: during(everyThird(isWrite), { kind: 'reset', when: 'after' }),
  },
  {
    name: 'commit then time-out',
    area: AREA,
    fault: 'the next eight writes are carried out, and their answers never come',
    outcome: 'gives up after 30 s, reads what became of it, and goes on from there',
    lastsMs: 5_000,
    async begin({ proxy }) {
      const injection = proxy.inject(isWrite, { kind: 'silence', when: 'after' }, 8);
      return () => over(injection);
    },
  },
  {
    name: 'truncated JSON',
    area: AREA,
    fault: 'half of each third answer is missing, for 20 s',
    outcome: 'tries again; of a write it reads what became of it',
    lastsMs: 20_000,
    begin: during(everyThird(isCall), { kind: 'truncate' }),
  },
];
