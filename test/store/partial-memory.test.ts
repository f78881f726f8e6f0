import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MAX_CHUNKS } from '../../src/format/ids.js';
import { lockOf, partialMemory, WHOLE } from '../../src/store/partial-memory.js';

describe('the memory of partial chunks', () => {
  it('has a lock for every chunk, and says of each that it is whole at first', () => {
    const memory = partialMemory(100);
    for (let chunk = 0; chunk < 100; chunk++) {
      assert.equal(memory.backings[chunk], WHOLE);
      assert.equal(memory.pages[chunk], 0);
    }
    fc.assert(
      fc.property(fc.nat(MAX_CHUNKS - 1), (chunk) => {
        assert.equal(memory.locks[lockOf(chunk)], 0);
      }),
    );
  });
});
