import assert from 'node:assert/strict';
import fc from 'fast-check';
import { framedChanges, type Change } from '../../src/transfer/changes.js';
import { ChunkSet } from '../../src/transfer/chunk-set.js';
import { isZero } from '../../src/format/is-zero.js';
import { ContentDigest } from '../../src/transfer/content-digest.js';
import { MAX_DATA } from '../../src/transfer/stream-format.js';

const UNIT = 65536;

describe('what changes, as a stream tells it', () => {
  const runs = fc.array(
    fc.record(
      { kind: fc.constantFrom('data', 'gone', undefined), units: fc.integer({ min: 1, max: 40 }) },
      { noNullPrototype: true },
    ),
    { maxLength: 30 },
  );

  it('is all of it and nothing else, in the same frames however it came', async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.infiniteStream(fc.integer({ min: 1, max: 30 })), async (kinds, cuts) => {
        const whole: Change[] = [];
        let at = 0;
        for (const { kind, units } of kinds) {
          if (kind !== undefined) whole.push({ kind, begin: at, end: at + units * UNIT });
          at += units * UNIT;
        }
        const size = Math.max(512, at - 512);
        const frames = await collect(whole, size);
        assert.deepEqual(
          await collect(
            whole.flatMap((change) => cutUp(change, cuts)),
            size,
          ),
          frames,
        );
        assert.deepEqual(
          units(frames),
          units(whole.map((change) => ({ ...change, end: Math.min(change.end, size) }))),
        );
        for (const { kind, begin, end } of frames) {
          assert.ok(begin < end && end <= size);
          if (kind === 'data') assert.equal(Math.floor(begin / MAX_DATA), Math.floor((end - 1) / MAX_DATA));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('the digest of a content', () => {
  it('is the same for the same bytes, mapped or not, and another for others', () => {
    const content = Buffer.alloc(20 * UNIT - 512);
    content.fill(7, 3 * UNIT, 5 * UNIT + 100);
    content.fill(9, 19 * UNIT);
    const digestOf = (bytes: Buffer, ranges: readonly [number, number][], size = bytes.length): string => {
      const digest = new ContentDigest();
      for (const [begin, end] of ranges) digest.add(begin * UNIT, bytes.subarray(begin * UNIT, end * UNIT));
      return digest.end(size);
    };
    const whole = digestOf(content, [[0, 20]]);
    assert.equal(
      digestOf(content, [
        [3, 6],
        [19, 20],
      ]),
      whole,
    );
    assert.equal(
      digestOf(content, [
        [2, 4],
        [4, 10],
        [16, 20],
      ]),
      whole,
    );
    assert.notEqual(digestOf(content, [[0, 20]], content.length + 512), whole);
    assert.notEqual(digestOf(content, [[3, 6]]), whole);
    for (const at of [0, 4 * UNIT, content.length - 1]) {
      const other = Buffer.from(content);
      other[at]! ^= 1;
      assert.notEqual(digestOf(other, [[0, 20]]), whole);
    }
    const moved = Buffer.alloc(content.length);
    content.copy(moved, UNIT, 0, content.length - UNIT);
    assert.notEqual(digestOf(moved, [[0, 20]]), whole);
  });

  it('knows zeroes of any length', () => {
    for (const length of [1, 512, UNIT - 1, UNIT, 3 * UNIT + 7]) {
      const bytes = Buffer.alloc(length);
      assert.ok(isZero(bytes));
      bytes[length - 1] = 1;
      assert.ok(!isZero(bytes));
    }
  });
});

describe('a set of chunks', () => {
  it('takes each number once', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 200 })), (numbers) => {
        const [set, model] = [new ChunkSet(201), new Set<number>()];
        for (const number of numbers) {
          assert.equal(set.add(number), !model.has(number));
          model.add(number);
        }
      }),
    );
  });
});

async function collect(changes: readonly Change[], size: number): Promise<Change[]> {
  const frames: Change[] = [];
  for await (const frame of framedChanges(each(changes), size)) frames.push(frame);
  return frames;
}

async function* each(changes: readonly Change[]): AsyncGenerator<Change> {
  for (const change of changes) yield await Promise.resolve(change);
}

function cutUp({ kind, begin, end }: Change, cuts: fc.Stream<number>): Change[] {
  const parts: Change[] = [];
  for (let at = begin; at < end;) {
    const next = Math.min(end, at + (cuts.next().value ?? 1) * UNIT);
    parts.push({ kind, begin: at, end: next });
    at = next;
  }
  return parts;
}

/** Half-kilobytes by what happens to them, as text. */
function units(changes: readonly Change[]): string[] {
  const joined: Change[] = [];
  for (const change of changes) {
    const last = joined.at(-1);
    if (last?.kind === change.kind && last.end === change.begin)
      joined[joined.length - 1] = { ...last, end: change.end };
    else if (change.begin < change.end) joined.push(change);
  }
  return joined.map(({ kind, begin, end }) => `${kind} ${begin} ${end}`);
}
