import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DirtyMap } from '../../src/threads/dirty-map.js';

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

  it('is taken piece by piece, from any place, over a range of 2^32', () => {
    const last = 2 ** 32 - 1;
    const entry = fc.oneof(
      fc.nat(200),
      fc.integer({ min: 2 ** 20 - 40, max: 2 ** 20 + 40 }),
      fc.integer({ min: last - 40, max: last }),
    );
    const map = DirtyMap.create(last + 1);
    fc.assert(
      fc.property(
        fc.array(fc.record({ marked: fc.array(entry), from: entry, most: fc.integer({ min: 1, max: 9 }) })),
        (rounds) => {
          const model = new Set<number>();
          map.take();
          for (const { marked, from, most } of rounds) {
            for (const each of marked) {
              assert.equal(map.mark(each), !model.has(each));
              model.add(each);
            }
            const { entries, next } = map.takeFrom(from, most);
            const behind = [...model].filter((each) => each >= from).sort((x, y) => x - y);
            assert.deepEqual(entries, behind.slice(0, most));
            if (behind.length > most) assert.equal(next, entries.at(-1)! + 1);
            else assert.ok(next === undefined || entries.length === most);
            for (const each of entries) model.delete(each);
          }
          assert.deepEqual(
            map.take(),
            [...model].sort((x, y) => x - y),
          );
        },
      ),
    );
  });
});
