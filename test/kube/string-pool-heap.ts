/** Prints how many bytes a thousand objects with equal words weigh: `string-pool-heap.ts true|false`. */
import { StringPool } from '../../src/kube/string-pool.ts';

const pool = new StringPool();
const share = process.argv[2] === 'true';
const collect = globalThis.gc;
if (collect === undefined) throw new Error('start it with --expose-gc');
const json = JSON.stringify({ message: 'The same words for everybody. '.repeat(20), reason: 'EverybodySaysTheSame' });
const held: unknown[] = [];
collect();
const before = process.memoryUsage().heapUsed;
for (let i = 0; i < 1_000; i++) {
  const object: unknown = JSON.parse(json);
  held.push(share ? pool.share(object) : object);
}
// What nobody holds but the pool makes way.
for (let i = 0; i < 100_000; i++) pool.share({ unique: `a string that nobody else has: ${i} ${'x'.repeat(40)}` });
collect();
console.log(process.memoryUsage().heapUsed - before);
if (held.length === 0) throw new Error('nothing was held');
