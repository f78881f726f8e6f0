import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SparseCounts } from '../../src/metadata/sparse-counts.js';

describe('counts of few numbers', () => {
  it('are what a map of them holds, ascending', () => {
    const number = fc.oneof(fc.nat(2000), fc.nat(2 ** 40));
    fc.assert(
      fc.property(fc.array(number, { maxLength: 300 }), (numbers) => {
        const [counts, map] = [new SparseCounts(), new Map<number, number>()];
        for (const one of numbers) {
          assert.equal(counts.add(one), map.get(one) ?? 0);
          map.set(one, (map.get(one) ?? 0) + 1);
        }
        assert.equal(counts.size, map.size);
        assert.deepEqual(
          [...counts.keys()],
          [...map.keys()].sort((x, y) => x - y),
        );
        for (const [one, count] of map) assert.equal(counts.get(one), count);
        assert.equal(counts.has(-1), false);
        assert.equal(counts.has(2 ** 41), false);
      }),
    );
  });
});
