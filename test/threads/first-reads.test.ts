import assert from 'node:assert/strict';
import { FirstReads } from '../../src/threads/first-reads.js';

describe('the first reads of a device', () => {
  it('are each block once, in the order in which they came', () => {
    const reads = new FirstReads();
    reads.note(7, 9);
    reads.note(0, 0);
    reads.note(8, 11);
    assert.deepEqual(reads.blocks(), [7, 8, 9, 0, 10, 11]);
  });

  it('are the same to all threads', () => {
    const reads = new FirstReads();
    const other = new FirstReads(reads.memory);
    reads.note(2 ** 30, 2 ** 30);
    other.note(2 ** 30, 2 ** 30 + 1);
    assert.deepEqual(reads.blocks(), [2 ** 30, 2 ** 30 + 1]);
    assert.deepEqual(other.blocks(), reads.blocks());
  });

  it('end with 2048 blocks, however large a read is', () => {
    const reads = new FirstReads();
    // All of them begin their search at few places.
    for (let at = 0; at < 3000; at++) reads.note(at * 4096, at * 4096);
    reads.note(0, 1_000_000);
    assert.equal(reads.blocks().length, 2048);
    assert.equal(reads.blocks()[2047], 2047 * 4096);
  });
});
