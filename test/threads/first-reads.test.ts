import assert from 'node:assert/strict';
import { FirstReads } from '../../src/threads/first-reads.js';

describe('the first reads of a device', () => {
  it('are each block once, in the order in which they came', () => {
    const reads = new FirstReads();
    reads.noteRead(7 * 4096, 3 * 4096, 4096);
    reads.noteRead(5, 1, 4096);
    reads.noteRead(8 * 4096 + 4095, 3 * 4096 - 3, 4096);
    assert.deepEqual(reads.blocks(), [7, 8, 9, 0, 10, 11]);
  });

  it('are the same to all threads', () => {
    const reads = new FirstReads();
    const other = new FirstReads(reads.memory);
    reads.noteRead(2 ** 30, 1, 1);
    other.noteRead(2 ** 30, 2, 1);
    assert.deepEqual(reads.blocks(), [2 ** 30, 2 ** 30 + 1]);
    assert.deepEqual(other.blocks(), reads.blocks());
  });

  it('are those, too, of which a part was overwritten: what is around it has to be here', () => {
    const reads = new FirstReads();
    for (const [offset, length] of [
      [0, 4096],
      [2 * 4096, 512],
      [4 * 4096 + 512, 3 * 4096],
      [9 * 4096 + 512, 4096 - 512],
      [12 * 4096, 2 * 4096],
    ] as const)
      reads.noteWritten(offset, length, 4096);
    assert.deepEqual(reads.blocks(), [2, 4, 7, 9]);
  });

  it('end with 2048 blocks, however large a read is', () => {
    const reads = new FirstReads();
    // All of them begin their search at few places.
    for (let at = 0; at < 3000; at++) reads.noteRead(at * 4096, 1, 1);
    reads.noteRead(0, 1_000_001, 1);
    assert.equal(reads.blocks().length, 2048);
    assert.equal(reads.blocks()[2047], 2047 * 4096);
  });
});
