/** What a proxy before the API server can be told to do wrong. */

/**
 * - `answer`: in the API server's place, which never hears of the request.
 * - `reset`: the connection; `after`: the API server has acted, and its answer is lost. An open watch is cut at once.
 * - `silence`: no answer, no end; `after`: the API server has acted. An open watch says nothing more, whatever happens.
 * - `truncate`: the first half of the answer, as if it were whole.
 * - `expire`: an open watch says that its version is too old (410 within a 200), and ends.
 * - `delay`: each event of a watch comes so much later.
 * - `behind`: lists show this older state of the whole cluster, watches begin there, as at an API server that lags.
 */
export type ApiFault =
  | { kind: 'answer'; status: number; reason: string; headers?: Readonly<Record<string, string>> }
  | { kind: 'reset' | 'silence'; when: 'before' | 'after' }
  | { kind: 'truncate' }
  | { kind: 'expire' }
  | { kind: 'delay'; milliseconds: number }
  | { kind: 'behind'; resourceVersion: string };

/** As the API server says no. */
export const statusOf = (code: number, reason: string): string =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: reason, reason, code });
