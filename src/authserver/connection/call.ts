import { OperatorError, type OperatorErrorOptions, REFUSED_AGAIN_MS } from '../../errors.ts';
import type { ServerOperation } from './call-outcome.ts';
import type { ClientTls, ServerConnection } from './connection.ts';
import type { ServerAnswer, ServerRequest } from './http.ts';

export interface Call extends Omit<ServerRequest, 'dispatcher'> {
  operation: ServerOperation;
  /** What is being done, for messages: `register the client`. */
  action: string;
  /** What to present to the server; nothing by default. */
  certificate?: ClientTls | undefined;
}

/**
 * A request to the server's own API: redirects, 429 and 5xx are errors already.
 *
 * @throws {OperatorError} `ServerUnavailable` when nothing was carried out; `AnswerLost` when a write may have been:
 * no whole answer came, or a 5xx other than 503; `AnswerInvalid` for a redirect and for more than 1 MiB
 */
export async function callServer(connection: ServerConnection, call: Call, signal: AbortSignal): Promise<ServerAnswer> {
  const { operation, action, certificate, ...request } = call;
  const answer =
    request.method === 'GET' && certificate === undefined
      ? await connection.send(operation, { ...request, dispatcher: connection.shared }, signal)
      : await connection.withFresh({ certificate }, (dispatcher) =>
          connection.send(operation, { ...request, dispatcher }, signal),
        );
  const write = request.method !== 'GET';
  if (answer.kind === 'silence') {
    if (write && answer.sent) throw answerLost(action, answer.clause);
    if (answer.why === 'size') throw answerInvalid(action, answer.clause);
    throw new OperatorError(
      'ServerUnavailable',
      `The authorization server could not be asked to ${action}: ${answer.clause}. It is tried again.`,
      retryAfter(answer.retryAfterMs),
    );
  }
  if (answer.status >= 300 && answer.status <= 399) {
    throw answerInvalid(
      action,
      `it redirects to ${answer.redirectedTo ?? 'nowhere'}, which is not followed; write the address it redirects to`,
    );
  }
  // RFC 9110 §15.6: of these 503 alone says that the request was not handled; 502 and 504 are a proxy's that gave up on it.
  if (write && answer.status >= 500 && answer.status !== 503) throw answerLost(action, `it answered ${answer.status}`);
  if (answer.status === 429 || answer.status >= 500) {
    throw new OperatorError(
      'ServerUnavailable',
      `The authorization server answered ${answer.status} when asked to ${action}. It is tried again.`,
      retryAfter(answer.retryAfterMs),
    );
  }
  return answer;
}

function retryAfter(milliseconds: number | undefined): OperatorErrorOptions {
  return milliseconds === undefined || milliseconds === 0 ? {} : { retry: { class: 'after', milliseconds } };
}

function answerLost(action: string, clause: string): OperatorError {
  return new OperatorError(
    'AnswerLost',
    `The authorization server was asked to ${action}, but ${clause}: it may or may not have done so.`,
  );
}

/** The server answered, but nothing that can be relied on. After a write it may have been carried out. */
export function answerInvalid(action: string, clause: string): OperatorError {
  return new OperatorError(
    'AnswerInvalid',
    `The authorization server's answer to ${action} cannot be used: ${clause}.`,
    {
      retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS },
    },
  );
}
