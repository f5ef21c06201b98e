import { open } from 'node:fs/promises';
import { z } from 'zod';

const lineSchema = z.object({
  stage: z.enum(['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic']),
  requestURI: z.string(),
  verb: z.string(),
  user: z.object({ username: z.string().default(''), groups: z.array(z.string()).default([]) }),
  userAgent: z.string().default(''),
  objectRef: z
    .object({
      resource: z.string().default(''),
      subresource: z.string().default(''),
      namespace: z.string().default(''),
      name: z.string().default(''),
      apiGroup: z.string().default(''),
    })
    .optional(),
  responseStatus: z.object({ code: z.int().default(0) }).optional(),
  requestReceivedTimestamp: z.string(),
});

export type AuditStage = z.infer<typeof lineSchema>['stage'];

/** One request as the API server saw it; absent parts are ''. */
export interface AuditEvent {
  stage: AuditStage;
  /** get, list, watch, create, update, patch, delete, deletecollection; for other paths the HTTP method in lower case. */
  verb: string;
  /** '' for the core group and for paths that are no resource. */
  apiGroup: string;
  resource: string;
  subresource: string;
  namespace: string;
  /** '' also on create: the audit log takes the name from the path. */
  name: string;
  user: string;
  groups: readonly string[];
  userAgent: string;
  code: number;
  requestURI: string;
  receivedAt: Date;
}

function eventOf(line: string): AuditEvent {
  const event = lineSchema.parse(JSON.parse(line));
  return {
    stage: event.stage,
    verb: event.verb,
    apiGroup: event.objectRef?.apiGroup ?? '',
    resource: event.objectRef?.resource ?? '',
    subresource: event.objectRef?.subresource ?? '',
    namespace: event.objectRef?.namespace ?? '',
    name: event.objectRef?.name ?? '',
    user: event.user.username,
    groups: event.user.groups,
    userAgent: event.userAgent,
    code: event.responseStatus?.code ?? 0,
    requestURI: event.requestURI,
    receivedAt: new Date(event.requestReceivedTimestamp),
  };
}

/** Reads a growing audit log; what was read once is not read again. */
export class AuditLog {
  readonly #path: string;
  readonly #events: AuditEvent[] = [];
  #offset = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async events(): Promise<readonly AuditEvent[]> {
    this.#reading = this.#reading.then(() => this.#readOn());
    await this.#reading;
    return this.#events;
  }

  async #readOn(): Promise<void> {
    const file = await open(this.#path);
    try {
      const { size } = await file.stat();
      const { buffer, bytesRead } = await file.read(
        Buffer.alloc(size - this.#offset),
        0,
        size - this.#offset,
        this.#offset,
      );
      // The last line may be half written.
      const complete = buffer.subarray(0, buffer.subarray(0, bytesRead).lastIndexOf(0x0a) + 1);
      for (const line of complete.toString('utf8').split('\n')) if (line !== '') this.#events.push(eventOf(line));
      this.#offset += complete.length;
    } finally {
      await file.close();
    }
  }
}
