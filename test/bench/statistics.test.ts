import assert from 'node:assert/strict';
import fc from 'fast-check';
import { advantage, median, summarize } from '../../scripts/bench/statistics.js';

describe('bench: statistics', () => {
  it('takes the middle value, or the mean of the middle two', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.equal(median([10, 9]), 9.5);
    assert.equal(median([]), undefined);
  });

  it('has as many values below the median as above, and changes none of them', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const before = [...values];
        const middle = median(values)!;
        assert.deepEqual(values, before);
        const below = values.filter((value) => value < middle).length;
        const above = values.filter((value) => value > middle).length;
        assert.ok(below <= values.length / 2 && above <= values.length / 2);
      }),
    );
  });

  it('summarizes with the extremes', () => {
    assert.deepEqual(summarize([5, 1, 3]), { median: 3, min: 1, max: 5, count: 3 });
    assert.equal(summarize([]), undefined);
  });

  it('reads an advantage the same way whether more or less is better', () => {
    assert.equal(advantage(200, 100, 'higher'), 2);
    assert.equal(advantage(5, 10, 'lower'), 2);
    assert.equal(advantage(undefined, 10, 'higher'), undefined);
    assert.equal(advantage(10, undefined, 'higher'), undefined);
    assert.equal(advantage(10, 0, 'higher'), undefined);
  });
});
