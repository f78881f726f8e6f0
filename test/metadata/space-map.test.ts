import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ENTRIES_PER_SHEET } from '../../src/format/space-map-sheet.js';
import { SpaceMap } from '../../src/metadata/space-map.js';

const LIMIT = ENTRIES_PER_SHEET + 9;

const step = fc.record({
  do: fc.constantFrom(
    'take',
    'take',
    'count',
    'count',
    'many',
    'drop',
    'drop',
    'putBack',
    'commit',
    'fail',
    'reopen',
  ),
  which: fc.nat(1000),
});

/** What was counted, as another process reads it. */
function reopened(counts: ReadonlyMap<number, number>, map: SpaceMap): SpaceMap {
  const other = new SpaceMap(LIMIT);
  for (let sheet = 0; sheet * ENTRIES_PER_SHEET < LIMIT; sheet++) {
    const body = map.packSheet(sheet);
    if (body !== undefined) other.loadSheet(sheet, body, 'sheet');
  }
  assert.equal(other.used, counts.size);
  return other;
}

describe('the space map against a plain map of counts', () => {
  it('counts, frees and hands out as told', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 120 }), (crowded, steps) => {
        let map = new SpaceMap(LIMIT);
        const counts = new Map<number, number>();
        const taken = new Set<number>();
        let freed: number[] = [];
        // All but a few are counted once, so that entries run out and the second sheet is met.
        for (let i = 0; crowded && i < LIMIT - 5; i++) {
          const entry = map.take()!;
          map.increment(entry);
          counts.set(entry, 1);
        }
        for (const { do: action, which } of steps) {
          const counted = [...counts.keys()];
          const some = counted[which % counted.length];
          const unused = [...taken][which % taken.size];
          if (action === 'take') {
            const entry = map.take();
            const isFull = counts.size + taken.size + freed.length === LIMIT;
            assert.equal(entry === undefined, isFull);
            if (entry === undefined) continue;
            assert.ok(entry < LIMIT && !counts.has(entry) && !taken.has(entry) && !freed.includes(entry));
            taken.add(entry);
          } else if (action === 'putBack' && unused !== undefined) {
            map.putBack(unused);
            taken.delete(unused);
          } else if (action === 'count' || action === 'many') {
            const entry = unused ?? some;
            if (entry === undefined) continue;
            taken.delete(entry);
            for (let i = 0; i < (action === 'many' ? 260 : 1); i++) {
              counts.set(entry, (counts.get(entry) ?? 0) + 1);
              assert.equal(map.increment(entry), counts.get(entry));
            }
          } else if (action === 'drop' && some !== undefined) {
            const left = counts.get(some)! - 1;
            assert.equal(map.decrement(some), left);
            if (left > 0) counts.set(some, left);
            else {
              counts.delete(some);
              freed.push(some);
            }
          } else if (action === 'commit' || action === 'fail') {
            const out = map.takeFreed();
            assert.deepEqual([...out].sort(), [...freed].sort());
            if (action === 'fail') map.keepFreed(out);
            else {
              map.release(out);
              freed = [];
            }
          } else if (action === 'reopen') {
            map = reopened(counts, map);
            taken.clear();
            freed = [];
          }
          assert.equal(map.used, counts.size + taken.size);
          assert.equal(map.awaitingRelease, freed.length);
          assert.equal(map.available, LIMIT - counts.size - taken.size - freed.length);
        }
        for (const [entry, count] of counts) assert.equal(map.count(entry), count);
      }),
      { numRuns: 60 },
    );
  });

  it('tells what was shared until a commit is durable that says otherwise', () => {
    const map = new SpaceMap(LIMIT);
    const entry = map.take()!;
    for (const _ of [1, 2]) map.increment(entry);
    map.decrement(entry);
    assert.ok(map.wasShared(entry), 'in the open transaction');
    map.takeLowered();
    assert.ok(map.wasShared(entry), 'on its way to the store');
    map.takeLowered();
    assert.ok(map.wasShared(entry), 'the commit failed, and the next has it');
    map.settleLowered();
    assert.ok(!map.wasShared(entry));
  });

  it('says which sheets changed, and stores none that is empty', () => {
    const map = new SpaceMap(LIMIT);
    const entry = map.take()!;
    assert.deepEqual(map.takeDirty(), [], 'what is only taken is not stored');
    map.increment(entry);
    const sheets = map.takeDirty();
    assert.deepEqual(sheets, [0]);
    assert.deepEqual(map.takeDirty(), []);
    map.keepDirty(sheets);
    assert.deepEqual(map.takeDirty(), [0]);
    assert.notEqual(map.packSheet(0), undefined);
    map.decrement(entry);
    assert.equal(map.packSheet(0), undefined);
    assert.equal(map.packSheet(1), undefined);
  });
});
