import type { Context } from 'oidc-provider';

export interface ReceivedRequest {
  method: string;
  /** The path with ids replaced, such as `/reg/:id`. */
  route: string;
  path: string;
  /** As the caller sent it to the terminator. */
  host: string;
}

/**
 * What goes wrong with a request: a `respond`ed answer never reaches the server; `reset` lets it act and then cuts the
 * connection; `rewrite` lets it act and changes the JSON that it answers; `late` lets it act and waits before it answers.
 */
export type FaultAction =
  | { kind: 'respond'; status: number; body: string; headers?: Readonly<Record<string, string>> }
  | { kind: 'reset'; when: 'before' | 'after' }
  | { kind: 'rewrite'; body: (body: Readonly<Record<string, unknown>>) => unknown }
  | { kind: 'late'; until: (body: Readonly<Record<string, unknown>>, gone: AbortSignal) => Promise<void> };

/** Asked before a request is handled, so that it may also wait; undefined lets the request through. */
export type Fault = (request: ReceivedRequest) => Promise<FaultAction | undefined> | FaultAction | undefined;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function cut(context: Context): void {
  context.respond = false;
  context.req.socket.resetAndDestroy();
}

export async function answer(
  context: Context,
  next: () => Promise<void>,
  action: FaultAction | undefined,
): Promise<void> {
  if (action?.kind === 'respond') {
    context.status = action.status;
    for (const [name, value] of Object.entries(action.headers ?? {})) context.set(name, value);
    context.body = action.body;
    return;
  }
  if (action?.kind === 'reset' && action.when === 'before') return cut(context);
  await next();
  if (action?.kind === 'reset') return cut(context);
  if (action?.kind === 'rewrite' && isRecord(context.body)) context.body = action.body(context.body);
  if (action?.kind === 'late') {
    const gone = new AbortController();
    context.req.socket.once('close', () => gone.abort());
    await action.until(isRecord(context.body) ? context.body : {}, gone.signal);
  }
}
