import assert from 'node:assert/strict';
import { defaultChunkCache } from '../../src/pool/limits.js';

const MIB = 2 ** 20;

describe('the default of the chunk cache', () => {
  it('is less on a small host, and in a small control group', () => {
    assert.equal(defaultChunkCache(32 * 1024 * MIB, 0), 256 * MIB);
    assert.equal(defaultChunkCache(1024 * MIB, 0), 64 * MIB);
    assert.equal(defaultChunkCache(32 * 1024 * MIB, 512 * MIB), 32 * MIB);
    assert.equal(defaultChunkCache(64 * MIB, 0), 16 * MIB);
    // What Linux says where there is no limit.
    assert.equal(defaultChunkCache(2048 * MIB, 2 ** 63), 128 * MIB);
  });
});
