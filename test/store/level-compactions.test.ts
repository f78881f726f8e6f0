import assert from 'node:assert/strict';
import { copyFile, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey } from '../../src/format/keys.js';
import { tablesBelow, tablesDue, tablesIn } from '../../src/store/level-compactions.js';
import { ManifestFollower, readManifest, type TableEntry } from '../../src/store/level-manifest.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { LevelTables } from '../../src/store/level-tables.js';
import { useScratch } from '../support/mounts.js';
import { SMALL_TUNING } from '../support/numbered-batches.js';

const MIB = 2 ** 20;

function table(number: number, level: number, first: string, last: string, size = 2 * MIB): TableEntry {
  return { number, level, size, first: Buffer.from(first), last: Buffer.from(last) };
}

function due(
  tables: readonly TableEntry[],
  pointers: readonly (readonly [number, string])[] = [],
  incoming = MIB,
): readonly number[] {
  const by = new LevelTables();
  for (const one of tables) by.added(one);
  const found = tablesDue(
    by.levels,
    new Map(pointers.map(([level, key]) => [level, Buffer.from(key)])),
    incoming,
  );
  return [...found].map(({ number }) => number).sort((a, b) => a - b);
}

describe('tables that LevelDB may compact by itself', () => {
  it('are none as long as no level is full', () => {
    assert.deepEqual(due([table(1, 0, 'a', 'z'), table(2, 1, 'a', 'm'), table(3, 2, 'a', 'z')]), []);
  });

  it('are those of level 0 that are soon too many, and what they lie over', () => {
    const tables = [
      table(5, 0, 'a', 'c'),
      table(6, 0, 'b', 'd'),
      table(2, 1, 'c', 'm'),
      table(3, 1, 'n', 'z'),
    ];
    assert.deepEqual(due(tables), [2, 5, 6]);
  });

  it('are those behind the pointer of a full level, as far as it is too full, and what they lie over', () => {
    const letters = 'a b c d e f g h i j'.split(' ');
    const tables = [
      ...letters.map((letter, at) => table(10 + at, 1, letter, `${letter}z`, 1.2 * MIB)),
      ...letters.map((letter, at) => table(30 + at, 2, letter, `${letter}z`)),
    ];
    // 12 MiB, and one on its way, where 10 may be: three tables.
    assert.deepEqual(due(tables, [[1, 'bz']]), [11, 12, 13, 31, 32, 33]);
    // Round the end.
    assert.deepEqual(due(tables, [[1, 'iza']]), [10, 11, 19, 30, 31, 39]);
  });

  it('are, of one table, what it lies over, also where it is moved down first', () => {
    const by = new LevelTables();
    const top = table(1, 0, 'c', 'f');
    for (const one of [top, table(2, 2, 'a', 'd'), table(3, 2, 'g', 'h'), table(4, 3, 'a', 'z')])
      by.added(one);
    assert.deepEqual(
      [...tablesBelow(by.levels, top)].map(({ number }) => number),
      [1, 2],
    );
    by.added(table(5, 1, 'f', 'g'));
    assert.deepEqual(
      [...tablesBelow(by.levels, top)].map(({ number }) => number),
      [1, 5],
    );
  });

  it('are, of a range, all that have keys in it', () => {
    const by = new LevelTables();
    for (const one of [
      table(1, 0, 'a', 'b'),
      table(2, 1, 'b', 'd'),
      table(3, 1, 'e', 'f'),
      table(4, 3, 'c', 'c'),
    ])
      by.added(one);
    const range = { first: Buffer.from('c'), last: Buffer.from('d') };
    assert.deepEqual([...tablesIn(by.levels, range)].map(({ number }) => number).sort(), [2, 4]);
    by.removed(table(2, 1, 'b', 'd'));
    assert.deepEqual(
      [...tablesIn(by.levels, range)].map(({ number }) => number),
      [4],
    );
  });
});

describe('MANIFEST, followed', () => {
  const scratch = useScratch();

  it('says what all of it says, wherever it ended when it was read', async () => {
    const folder = await scratch.current.folder();
    const store = await openLevelStore(join(folder, 'store'), {
      createIfMissing: true,
      tuning: SMALL_TUNING,
    });
    for (let round = 0; round < 60; round++)
      await store.batch(
        [{ type: 'put', key: chunkKey(chunkId(round % 7)), value: new Uint8Array(60_000).fill(round) }],
        { sync: false },
      );
    await store.close();
    const name = (await readdir(join(folder, 'store'))).find((each) => each.startsWith('MANIFEST-'))!;
    const copy = join(folder, 'copy');
    await openLevelStore(copy, { createIfMissing: true }).then((made) => made.close());
    await copyFile(join(folder, 'store', 'CURRENT'), join(copy, 'CURRENT'));
    const whole = await open(join(folder, 'store', name), 'r');
    const grown = await open(join(copy, name), 'w');
    const { size } = await whole.stat();
    assert.ok(size > 500, `${size} bytes`);
    const bytes = Buffer.alloc(size);
    await whole.read(bytes, 0, size, 0);
    const tables = new LevelTables();
    const follower = new ManifestFollower(copy, tables);
    for (let at = 0; at < size; at += 37) {
      await grown.write(bytes, at, Math.min(37, size - at), at);
      // At first there is no record that is whole.
      const expected = await readManifest(copy).catch(() => undefined);
      if (expected === undefined) continue;
      const { tables: found, pointers, lastSequence, logNumber } = await follower.read();
      assert.deepEqual(new Map(found), new Map(expected.tables));
      assert.deepEqual(new Map(pointers), new Map(expected.pointers));
      assert.deepEqual([lastSequence, logNumber], [expected.lastSequence, expected.logNumber]);
      const shown = tables.levels.flat().map(({ number }) => number);
      assert.deepEqual(
        shown.sort((a, b) => a - b),
        [...found.keys()].sort((a, b) => a - b),
      );
    }
    await whole.close();
    await grown.close();
  });
});
