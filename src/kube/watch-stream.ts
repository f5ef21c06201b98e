import { errorFromStatus, isRecord, KubeError } from './kube-error.ts';
import { isKubernetesObject, type KubernetesObject } from './resource.ts';
import { parseJson } from './transport.ts';

export type WatchEvent =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: KubernetesObject }
  | { type: 'BOOKMARK'; resourceVersion: string }
  | { type: 'ERROR'; error: KubeError };

/** Splits a body into lines; pieces of a long line are joined once, so that an event of megabytes stays linear. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      pieces.push(text.slice(start, end));
      const line = pieces.join('');
      pieces = [];
      start = end + 1;
      if (line !== '') yield line;
    }
    if (start < text.length) pieces.push(text.slice(start));
  }
  // What follows the last newline was cut off with the connection: the event comes again after a resume.
}

/** @throws KubeError `NotJSON` for a line that is no watch event */
export function parseWatchEvent(line: string, action: string): WatchEvent {
  const event = parseJson(line);
  if (isRecord(event) && isRecord(event['object'])) {
    const { type, object } = event;
    if (type === 'ERROR') return { type, error: errorFromStatus(action, object, { status: 0 }) };
    const metadata = object['metadata'];
    if (type === 'BOOKMARK' && isRecord(metadata) && typeof metadata['resourceVersion'] === 'string') {
      return { type, resourceVersion: metadata['resourceVersion'] };
    }
    if ((type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') && isKubernetesObject(object)) {
      return { type, object };
    }
  }
  throw new KubeError(`The Kubernetes API server sent something that is no event when asked to ${action}.`, {
    status: 200,
    reason: 'NotJSON',
  });
}
