import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BusyMap } from '../../src/metadata/busy-map.js';

/** Counts blocks of 256 bits that are looked at. */
class CountedMap extends BusyMap {
  looks = 0;

  protected override firstFree(level: number, from: number): number | undefined {
    this.looks++;
    return super.firstFree(level, from);
  }
}

describe('BusyMap', () => {
  it('finds what a plain set of entries finds', () => {
    const LIMIT = 256 * 256 + 300;
    const run = fc.record({ from: fc.nat(LIMIT), length: fc.nat(70_000), busy: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(run, { maxLength: 6 }),
        fc.array(fc.nat(LIMIT), { maxLength: 20 }),
        (runs, asked) => {
          const map = new BusyMap();
          const plain = new Uint8Array(LIMIT);
          for (const { from, length, busy } of runs)
            for (let entry = from; entry < Math.min(from + length, LIMIT); entry++) {
              if (busy) map.set(entry);
              else map.clear(entry);
              plain[entry] = busy ? 1 : 0;
            }
          for (const from of asked) {
            const free = plain.indexOf(0, from);
            assert.equal(map.nextFree(from, LIMIT), free < 0 ? undefined : free);
          }
          assert.equal(map.end, plain.lastIndexOf(1) + 1);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('looks at a few blocks in a map of millions of entries that is full but for one', () => {
    const SIZE = 3_000_000;
    const map = new CountedMap();
    for (let entry = 0; entry < SIZE; entry++) map.set(entry);
    map.clear(17);
    map.looks = 0;
    assert.equal(map.nextFree(0, SIZE), 17);
    assert.equal(map.nextFree(18, SIZE), undefined);
    assert.equal(map.nextFree(18, SIZE + 1), SIZE);
    map.clear(SIZE - 5);
    assert.equal(map.nextFree(18, SIZE), SIZE - 5);
    assert.ok(map.looks < 40, `${map.looks} blocks`);
  });
});
