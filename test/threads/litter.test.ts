import assert from 'node:assert/strict';
import { Litter } from '../../src/threads/collect-garbage.js';

const MIB = 2 ** 20;
const PIECE = 64 * 1024;
const PIECES = 4096;

describe('Litter', () => {
  it('keeps what large buffers take that nobody refers to any more to some of them', async () => {
    const litter = new Litter();
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let piece = 0; piece < PIECES; piece++) {
      new Uint8Array(PIECE).fill(1);
      litter.leave(PIECE);
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      if (piece % 64 === 0) await new Promise(setImmediate);
    }
    assert.ok(most <= 24 * MIB, `${Math.round(most / MIB)} MiB of ${(PIECES * PIECE) / MIB} lay there`);
  });
});
