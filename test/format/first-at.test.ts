import assert from 'node:assert/strict';
import fc from 'fast-check';
import { firstAt } from '../../src/format/first-at.js';

describe('the first place of something sorted', () => {
  it('is the one that going through all of them finds', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), fc.nat(21), (numbers, wanted) => {
        const sorted = numbers.sort((a, b) => a - b);
        const found = sorted.findIndex((number) => number >= wanted);
        assert.equal(
          firstAt(sorted.length, (at) => sorted[at]! >= wanted),
          found < 0 ? sorted.length : found,
        );
      }),
    );
  });
});
