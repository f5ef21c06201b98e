import type { ServerAnswer, ServerSilence } from './http.ts';

/** What a server is asked for, as metrics name it: a closed set, whatever the driver. */
export type ServerOperation =
  | 'discover'
  | 'authenticate'
  | 'register'
  | 'read'
  | 'update'
  | 'remove'
  | 'token'
  | 'par'
  | 'introspect'
  | 'revoke'
  | 'canary';

/** How a call ended, as metrics name it: the class of the status, or why there is none. A closed set. */
export type CallOutcome = '2xx' | '3xx' | '4xx' | '5xx' | 'other' | ServerSilence['why'] | 'cancelled';

const classes = ['other', 'other', '2xx', '3xx', '4xx', '5xx'] as const;

/** `other`: a status that HTTP does not know, as a hostile server may send. */
export function outcomeOf(answer: ServerAnswer | ServerSilence): CallOutcome {
  if (answer.kind === 'silence') return answer.why;
  return classes[Math.floor(answer.status / 100)] ?? 'other';
}
