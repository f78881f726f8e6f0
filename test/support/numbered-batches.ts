import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chunkId, nodeId } from '../../src/format/ids.js';
import { chunkKey, nodeKey, superblockKey } from '../../src/format/keys.js';
import type { KvOperation, KvReader } from '../../src/store/key-value.js';

/** Small, so that a short test sees logs change over and tables be made and merged. */
export const SMALL_TUNING = { writeBufferSize: 256 * 1024, maxFileSize: 1024 * 1024 };

/** Slots that are written round and round, so that a store does not grow. */
const NODES = 40;
const CHUNKS = 12;

/**
 * Batch `n` (from 1) of a sequence in which the store's content says which batches are in it: the number, a
 * small value, every third time a chunk of 64 KiB, and now and then a deletion.
 */
export function numberedBatch(n: number): KvOperation[] {
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, n);
  const operations: KvOperation[] = [
    { type: 'put', key: superblockKey, value: number },
    { type: 'put', key: nodeKey(nodeId(n % NODES)), value: filler('node', n, 500 + (n % 3000)) },
  ];
  if (n % 3 === 0)
    operations.push({ type: 'put', key: chunkKey(chunkId(n % CHUNKS)), value: filler('chunk', n, 65552) });
  if (n % 5 === 0) operations.push({ type: 'del', key: nodeKey(nodeId((n + 7) % NODES)) });
  return operations;
}

/** The last batch in the store; 0 where there is none. */
export function numberedLast(store: KvReader): number {
  const value = store.getSync(superblockKey);
  return value === undefined ? 0 : new DataView(value.buffer, value.byteOffset).getUint32(0);
}

/** Fails unless the store holds exactly batches 1 to `numberedLast`, each whole. */
export function assertNumbered(store: KvReader): void {
  const last = numberedLast(store);
  const expected = new Map<string, Uint8Array>();
  for (let n = Math.max(1, last - 5 * NODES * CHUNKS); n <= last; n++)
    for (const operation of numberedBatch(n)) {
      const key = Buffer.from(operation.key).toString('hex');
      if (operation.type === 'put') expected.set(key, operation.value);
      else expected.delete(key);
    }
  for (let slot = 0; slot < NODES; slot++) compare(store, nodeKey(nodeId(slot)), expected);
  for (let slot = 0; slot < CHUNKS; slot++) compare(store, chunkKey(chunkId(slot)), expected);
}

function compare(store: KvReader, key: Uint8Array, expected: ReadonlyMap<string, Uint8Array>): void {
  const hex = Buffer.from(key).toString('hex');
  const found = store.getSync(key);
  const wanted = expected.get(hex);
  assert.equal(found?.length, wanted?.length, `length of ${hex} with ${numberedLast(store)} batches`);
  if (found !== undefined && wanted !== undefined)
    assert.equal(Buffer.compare(found, wanted), 0, `bytes of ${hex}`);
}

function filler(kind: string, n: number, length: number): Uint8Array {
  const seed = createHash('sha256').update(`${kind} ${n}`).digest();
  return new Uint8Array(Buffer.alloc(length, seed));
}
