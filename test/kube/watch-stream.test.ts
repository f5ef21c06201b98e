import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { KubeError } from '../../src/kube/client.ts';
import { linesOf, parseWatchEvent } from '../../src/kube/watch-stream.ts';

async function* asStream(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function read(chunks: Uint8Array[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(asStream(chunks))) lines.push(line);
  return lines;
}

test('property: lines come whole however the bytes were cut, what follows the last newline does not', async () => {
  const line = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !/[\n\ufeff]/.test(text));
  await fc.assert(
    fc.asyncProperty(fc.array(line), line, fc.array(fc.nat(7)), async (lines, rest, cuts) => {
      let bytes = Buffer.from(`${lines.map((one) => `${one}\n`).join('')}${rest}`);
      const chunks: Uint8Array[] = [];
      for (const cut of cuts) {
        chunks.push(bytes.subarray(0, cut));
        bytes = bytes.subarray(cut);
      }
      chunks.push(bytes);
      assert.deepEqual(await read(chunks), lines);
    }),
  );
});

test('an event of 40 MB in pieces of 16 kB takes linear time', async () => {
  const piece = Buffer.alloc(16_384, 'x');
  const chunks = [...Array.from({ length: 2560 }, () => piece), Buffer.from('\n')];
  const started = performance.now();
  const [line] = await read(chunks);
  assert.equal(line?.length, 16_384 * 2560);
  assert.ok(performance.now() - started < 10_000);
});

test('what is no event is an error that quotes nothing of it', () => {
  for (const line of [
    '{"type":"ADDED","object":{"data":"c2VjcmV0"',
    'c2VjcmV0',
    '{"type":"ODD","object":{"a":"c2VjcmV0"}}',
    'null',
  ]) {
    assert.throws(
      () => parseWatchEvent(line, 'watch secrets'),
      (error) =>
        error instanceof KubeError &&
        error.reason === 'NotJSON' &&
        !JSON.stringify([error, error.message]).includes('c2VjcmV0'),
    );
  }
});

test('bookmarks and errors', () => {
  const bookmark =
    '{"type":"BOOKMARK","object":{"kind":"Secret","metadata":{"resourceVersion":"42","creationTimestamp":null}}}';
  assert.deepEqual(parseWatchEvent(bookmark, 'watch secrets'), { type: 'BOOKMARK', resourceVersion: '42' });
  const gone =
    '{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version: 1 (5)","reason":"Expired","code":410}}';
  const event = parseWatchEvent(gone, 'watch secrets');
  assert.ok(event.type === 'ERROR');
  assert.deepEqual([event.error.status, event.error.reason], [410, 'Expired']);
});
