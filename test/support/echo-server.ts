/** A backend that answers with what reached it. */
import { createServer } from 'node:http';
import { z } from 'zod';
import { listen, type Listening } from './listen.ts';

const seen = z.object({ host: z.string(), headers: z.record(z.string(), z.array(z.string())) });
/** Header lines by lower-case name, one entry a line, as `IncomingMessage.headersDistinct` has them. */
export type Seen = z.infer<typeof seen>;

export function startEchoServer(): Promise<Listening> {
  return listen(
    createServer((request, response) => {
      const { headersDistinct: headers } = request;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ host: request.headers.host ?? '', headers }));
    }),
  );
}

export function whatWasSeen(answer: { json: unknown }): Seen {
  return seen.parse(answer.json);
}
