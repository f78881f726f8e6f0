import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rangeOf } from '../../src/format/keys.js';
import { openSalvage } from '../../src/store/level-salvage.js';
import { salvageFiles, textOf } from '../../src/store/level-salvage-files.js';
import { openToRepair } from '../../src/store/level-repair.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, makeNumberedStore } from '../support/numbered-store.js';
import { assertNumbered, numberedBatch, numberedLast, SMALL_TUNING } from '../support/numbered-batches.js';

const BATCHES = 120;
const KINDS = ['superblock', 'node', 'chunk'] as const;

/**
 * What our own reader gets out of files that LevelDB would not open: what was written, or that it is lost.
 */
describe('a level store that is damaged, read for repair', () => {
  const scratch = useScratch();
  let whole: string;
  let folder: string;
  let expected: ReadonlyMap<string, Buffer>;

  before(async () => {
    whole = scratch.current.at('whole');
    const made = scratch.current.at('made');
    const store = await openLevelStore(made, { createIfMissing: true, tuning: SMALL_TUNING });
    for (let n = 1; n <= BATCHES; n++) await store.batch(numberedBatch(n), { sync: true });
    const found = new Map<string, Buffer>();
    for (const kind of KINDS)
      for await (const [key, value] of store.entries(rangeOf(kind)))
        found.set(Buffer.from(key).toString('hex'), Buffer.from(value));
    expected = found;
    await store.close();
    await cp(made, whole, { recursive: true });
  });

  beforeEach(async () => {
    folder = scratch.current.at('store');
    await rm(folder, { recursive: true, force: true });
    await cp(whole, folder, { recursive: true });
  });

  async function filesLike(pattern: RegExp): Promise<string[]> {
    return (await readdir(folder)).filter((name) => pattern.test(name)).sort();
  }

  /** @returns how many values came through, each as it was written; all others are said to be lost */
  async function cameThrough(): Promise<number> {
    const reader = await openToRepair(folder);
    try {
      const found = new Map<string, Buffer>();
      for (const kind of KINDS)
        for await (const [key, value] of reader.entries(rangeOf(kind)))
          found.set(Buffer.from(key).toString('hex'), Buffer.from(value));
      for (const [key, value] of found) assert.ok(expected.get(key)?.equals(value), key);
      for (const key of expected.keys())
        if (!found.has(key)) {
          assert.ok(reader.isLost(Buffer.from(key, 'hex')), key);
          assert.throws(() => reader.getSync(Buffer.from(key, 'hex')), { code: 'damaged' });
        }
      assert.ok(found.size === expected.size || reader.lost.length > 0);
      return found.size;
    } finally {
      await reader.close();
    }
  }

  it('is read by LevelDB where nothing is wrong', async () => {
    assert.equal(await cameThrough(), expected.size);
  });

  for (const lost of ['CURRENT', 'MANIFEST'])
    it(`holds all without ${lost}`, async () => {
      for (const name of await filesLike(new RegExp(`^${lost}`))) await rm(join(folder, name));
      assert.equal(await cameThrough(), expected.size);
    });

  it('loses what lay in a damaged block, and hands out nothing older in its place', async () => {
    for (const name of await filesLike(/\.ldb$/)) {
      const path = join(folder, name);
      const bytes = await readFile(path);
      for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 25)) {
        const copy = Buffer.from(bytes);
        copy[at]! ^= 1 << (at % 8);
        await writeFile(path, copy);
        assert.ok((await cameThrough()) > expected.size / 2);
      }
      await writeFile(path, bytes);
    }
  });

  it('holds the blocks before the place where a table was cut off', async () => {
    const name = (await filesLike(/\.ldb$/))[0]!;
    const { length } = await readFile(join(folder, name));
    await truncate(join(folder, name), length - 10);
    assert.ok((await cameThrough()) > expected.size / 2);
  });

  it('is as it was before a batch that is lost, and says so', async () => {
    const path = join(folder, (await filesLike(/\.log$/)).at(-1)!);
    const bytes = await readFile(path);
    bytes.fill(0, 0, 4096);
    await writeFile(path, bytes);
    const reader = await openToRepair(folder);
    assert.match(
      reader.lost.map(({ problem }) => problem).join(),
      /the commit at byte 0 is lost, and \d+ behind it/,
    );
    assert.ok(numberedLast(reader) < BATCHES);
    assertNumbered(reader);
    await reader.close();
  });

  it('loses nothing where only the length of a record is wrong', async () => {
    const path = join(folder, (await filesLike(/\.log$/)).at(-1)!);
    const bytes = await readFile(path);
    bytes[5]! ^= 1;
    await writeFile(path, bytes);
    assert.equal(await cameThrough(), expected.size);
  });
});

describe('what is read of the files of a level store without LevelDB', () => {
  const scratch = useScratch();

  it('is what LevelDB reads, where nothing is damaged', async () => {
    const folder = scratch.current.at('store');
    const values = await makeNumberedStore(folder, BATCHES);
    const reader = await openSalvage(folder);
    assert.deepEqual(reader.lost, []);
    const found = new Map<string, Uint8Array>();
    for await (const [key, value] of reader.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) })) {
      found.set(Buffer.from(key).toString('hex'), value);
      assert.deepEqual(reader.getSync(key), value);
      assert.ok(!reader.isLost(key));
    }
    assert.deepEqual([...found.keys()], [...values.keys()]);
    for (const [key, value] of found) assert.deepEqual(Buffer.from(value), Buffer.from(values.get(key)!));
    await reader.close();
  });

  it('is told as lost where a table is gone, and older values do not take its place', async () => {
    const folder = scratch.current.at('gone');
    await makeNumberedStore(folder, BATCHES);
    const [table] = await filesLike(folder, /\.ldb$/);
    await rm(table!);
    const found = await salvageFiles(folder);
    assert.match(found.lost[0]!.problem, /is missing/);
    const reader = await openSalvage(folder);
    for await (const [key] of reader.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) })) {
      assert.ok(!found.isLost(key));
      assert.ok(found.places.has(textOf(key)));
    }
    await reader.close();
    for (const file of found.files) await file.close();
  });
});
