import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DirtyMap } from '../../src/shared/dirty-map.js';

const RANGE = 5000;

describe('a map of what is dirty', () => {
  it('gives back what was marked, once, ascending', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(RANGE - 1))), (rounds) => {
        const map = DirtyMap.create(RANGE);
        for (const marked of rounds) {
          for (const [index, entry] of marked.entries())
            assert.equal(map.mark(entry), marked.indexOf(entry) === index);
          assert.deepEqual(
            map.take(),
            [...new Set(marked)].sort((x, y) => x - y),
          );
          assert.deepEqual(map.take(), []);
        }
      }),
    );
  });

  it('is the same map wherever its memory is', () => {
    const map = DirtyMap.create(RANGE);
    new DirtyMap(map.memory).mark(RANGE - 1);
    assert.deepEqual(map.take(), [RANGE - 1]);
  });
});
