import assert from 'node:assert/strict';
import { cp, open, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey, rangeOf } from '../../src/format/keys.js';
import { checkLevelFiles, damagedFiles, LogSequence } from '../../src/store/level-check.js';
import { type LevelStore, openLevelStore } from '../../src/store/level-store.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, makeNumberedStore } from '../support/numbered-store.js';
import { assertNumbered, numberedBatch, numberedLast, SMALL_TUNING } from '../support/numbered-batches.js';

const BATCHES = 60;
const BLOCK = 32768;

/**
 * What happens to real files of a store: `damaged` before LevelDB touches them, or no harm that a crash could
 * not have done.
 */
describe('damage to the files of a level store', () => {
  const scratch = useScratch();
  let whole: string;
  let folder: string;

  before(async () => {
    whole = scratch.current.at('whole');
    const store = await openLevelStore(whole, { createIfMissing: true, tuning: SMALL_TUNING });
    for (let n = 1; n <= BATCHES; n++) await store.batch(numberedBatch(n), { sync: true });
    await store.close();
    // A second opening gives a manifest that begins with a list of tables; what follows goes to a log and
    // more tables.
    const again = await openLevelStore(whole, { tuning: SMALL_TUNING });
    for (let n = BATCHES + 1; n <= 2 * BATCHES; n++) await again.batch(numberedBatch(n), { sync: true });
    await again.close();
    const kinds = new Set((await readdir(whole)).map((name) => name.replace(/\d+/, 'N')));
    for (const kind of ['N.ldb', 'N.log', 'MANIFEST-N', 'CURRENT']) assert.ok(kinds.has(kind), kind);
  });

  beforeEach(async () => {
    folder = scratch.current.at('store');
    await rm(folder, { recursive: true, force: true });
    await cp(whole, folder, { recursive: true });
  });

  /** The newest file whose name matches, and its bytes. */
  async function file(pattern: RegExp): Promise<{ name: string; path: string; bytes: Buffer }> {
    const name = (await readdir(folder))
      .filter((candidate) => pattern.test(candidate))
      .sort()
      .at(-1)!;
    const path = join(folder, name);
    return { name, path, bytes: await readFile(path) };
  }

  async function assertDamaged(about: RegExp): Promise<void> {
    const before = await listing();
    await assert.rejects(openLevelStore(folder, { createIfMissing: true, tuning: SMALL_TUNING }), (error) => {
      assert.ok(error instanceof ThinError);
      assert.equal(error.code, 'damaged');
      assert.ok(error.message.includes(folder), error.message);
      assert.match(error.message, about);
      assert.match(error.message, /thinfuse repair/);
      return true;
    });
    assert.deepEqual(await listing(), before, 'nothing was changed');
  }

  async function listing(): Promise<string[]> {
    const found = (await readdir(folder)).sort();
    return Promise.all(
      found.map(async (name) => `${name} ${String((await stat(join(folder, name))).mtimeMs)}`),
    );
  }

  async function withStore<T>(use: (store: LevelStore) => T | Promise<T>): Promise<T> {
    const store = await openLevelStore(folder, { tuning: SMALL_TUNING });
    try {
      return await use(store);
    } finally {
      await store.close();
    }
  }

  it('finds none in files that are whole', async () => {
    await withStore((store) => {
      assert.equal(numberedLast(store), 2 * BATCHES);
      assertNumbered(store);
    });
  });

  it('CURRENT is gone', async () => {
    await rm(join(folder, 'CURRENT'));
    await assertDamaged(/lost its file CURRENT/);
  });

  for (const [what, content] of Object.entries({
    'is empty': '',
    'is cut off': 'MANIFEST-0000',
    'is nonsense': '\0\0\0\0\n',
    'leads elsewhere': '../../etc/passwd\n',
  }))
    it(`CURRENT ${what}`, async () => {
      await writeFile(join(folder, 'CURRENT'), content);
      await assertDamaged(/CURRENT names no MANIFEST/);
    });

  it('CURRENT names a file that is not there', async () => {
    await writeFile(join(folder, 'CURRENT'), 'MANIFEST-999999\n');
    await assertDamaged(/MANIFEST-999999 is missing/);
  });

  it('MANIFEST is gone', async () => {
    await rm((await file(/^MANIFEST/)).path);
    await assertDamaged(/MANIFEST-\d+ is missing/);
  });

  it('MANIFEST is cut off anywhere', async () => {
    const { path, bytes } = await file(/^MANIFEST/);
    for (let length = 0; length < bytes.length; length += 7) {
      await truncate(path, length);
      await assertDamaged(/MANIFEST|is missing/);
      await writeFile(path, bytes);
    }
  });

  it('MANIFEST has a wrong bit anywhere', async () => {
    const { path, bytes } = await file(/^MANIFEST/);
    for (let at = 0; at < bytes.length; at += 7) {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 1 << (at % 8);
      await writeFile(path, copy);
      await assertDamaged(/MANIFEST|is missing/);
    }
  });

  it('a table is gone', async () => {
    const { path, name } = await file(/\.ldb$/);
    await rm(path);
    await assertDamaged(new RegExp(`${name} is missing`));
  });

  it('a table is shorter or longer than it was written', async () => {
    const { path, name, bytes } = await file(/\.ldb$/);
    for (const size of [0, 40, bytes.length - 1, bytes.length + 1]) {
      await truncate(path, size);
      await assertDamaged(new RegExp(`${name} has ${size} bytes where ${bytes.length}`));
      await writeFile(path, bytes);
    }
  });

  /** A store with one table of one chunk; its bytes are what `change` makes of them. */
  async function withOneTable(change: (bytes: Buffer) => void): Promise<void> {
    await rm(folder, { recursive: true });
    const store = await openLevelStore(folder, { createIfMissing: true });
    await store.batch([{ type: 'put', key: chunkKey(chunkId(3)), value: new Uint8Array(65552).fill(9) }], {
      sync: true,
    });
    await store.compact(rangeOf('chunk'));
    await store.close();
    const { path, bytes } = await file(/\.ldb$/);
    change(bytes);
    await writeFile(path, bytes);
  }

  it('the footer or the index of a table is nonsense', async () => {
    for (const where of [-48, -60]) {
      await withOneTable((bytes) => bytes.fill(0xa5, bytes.length + where, bytes.length + where + 6));
      await assertDamaged(/\d+\.ldb is damaged: its (footer|index) is damaged/);
    }
  });

  it('they become nonsense while the store is open: damaged when it is read', async () => {
    for (const where of [-48, -60]) {
      await withOneTable(() => undefined);
      await withStore(async (store) => {
        const { path, bytes } = await file(/\.ldb$/);
        bytes.fill(0xa5, bytes.length + where, bytes.length + where + 6);
        await writeFile(path, bytes);
        assert.throws(() => store.getSync(chunkKey(chunkId(3))), { code: 'damaged' });
        await assert.rejects(store.get(chunkKey(chunkId(3))), { code: 'damaged' });
        await assert.rejects(
          async () => {
            for await (const _ of store.entries(rangeOf('chunk')));
          },
          { code: 'damaged' },
        );
      });
    }
  });

  it('a value gets a wrong bit while the store is open: LevelDB hands it out, which is why values carry seals', async () => {
    await withOneTable(() => undefined);
    await withStore(async (store) => {
      const { path, bytes } = await file(/\.ldb$/);
      bytes[30_000]! ^= 1;
      await writeFile(path, bytes);
      const value = store.getSync(chunkKey(chunkId(3)))!;
      assert.equal(value.filter((byte) => byte === 8).length, 1);
      const found = [];
      for await (const { message } of store.damagedFiles()) found.push(message);
      assert.equal(found.length, 1);
      assert.match(found[0]!, /\.ldb is damaged at byte 0 .*: chunk 3 is lost/);
    });
  });

  it('tables of an open store are read by another thread than the one that asks', async () => {
    await withOneTable(() => undefined);
    await withStore(async (store) => {
      const { path } = await file(/\.ldb$/);
      const probe = await open(path);
      const handles = Object.getPrototypeOf(probe) as { read: unknown };
      await probe.close();
      const { read } = handles;
      handles.read = () => assert.fail('read by the thread that asks');
      try {
        for await (const { message } of store.damagedFiles()) assert.fail(message);
      } finally {
        handles.read = read;
      }
    });
  });

  it('the log is gone', async () => {
    const { path, name } = await file(/\.log$/);
    await rm(path);
    await assertDamaged(new RegExp(`${name} is missing`));
  });

  it('the log has a wrong bit, with batches behind it', async () => {
    const { path, name, bytes } = await file(/\.log$/);
    for (const at of [0, 5, 6, 7, 300, Math.floor(bytes.length / 3)]) {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 2;
      await writeFile(path, copy);
      await assertDamaged(new RegExp(`${name} is damaged at byte \\d+`));
    }
  });

  it('the log has a hole of zeroes', async () => {
    const { path, name, bytes } = await file(/\.log$/);
    assert.ok(bytes.length > 3 * BLOCK, 'long enough for a hole in the middle');
    await writeFile(path, bytes.fill(0, BLOCK, 2 * BLOCK));
    await assertDamaged(new RegExp(`${name} is damaged at byte`));
  });

  /**
   * Where each record of the log's bytes begins, and its length with its header; a batch may have several.
   */
  function fragments(bytes: Buffer): { at: number; length: number; type: number }[] {
    const found = [];
    for (let at = 0; at + 7 <= bytes.length;) {
      const left = BLOCK - (at % BLOCK);
      if (left < 7) {
        at += left;
        continue;
      }
      const length = 7 + bytes.readUInt16LE(at + 4);
      found.push({ at, length, type: bytes[at + 6]! });
      at += length;
    }
    return found;
  }

  it('the log has a wrong bit in the length of any record, the last one too', async () => {
    const { path, name, bytes } = await file(/\.log$/);
    const all = fragments(bytes);
    for (const { at } of [...all.slice(0, 3), ...all.slice(-3)])
      for (let bit = 0; bit < 16; bit++) {
        const copy = Buffer.from(bytes);
        copy[at + 4 + (bit >> 3)]! ^= 1 << (bit & 7);
        await writeFile(path, copy);
        await assertDamaged(new RegExp(`${name} is damaged at byte \\d+`));
      }
  });

  it('pages of the log are zeroes or have changed places, before its last batch', async () => {
    const { path, name, bytes } = await file(/\.log$/);
    const last = fragments(bytes).findLast(({ type }) => type === 1 || type === 2)!;
    const pages = Math.floor(last.at / 4096);
    for (let page = 0; page < pages; page++) {
      await writeFile(path, Buffer.from(bytes).fill(0, page * 4096, (page + 1) * 4096));
      await assertDamaged(new RegExp(`${name} is damaged at byte \\d+`));
      const other = (page + 3) % pages;
      const copy = Buffer.from(bytes);
      bytes.copy(copy, page * 4096, other * 4096, (other + 1) * 4096);
      bytes.copy(copy, other * 4096, page * 4096, (page + 1) * 4096);
      // Values are patterns, so that pages may be alike.
      if (copy.equals(bytes)) continue;
      await writeFile(path, copy);
      await assertDamaged(new RegExp(`${name} is damaged at byte \\d+`));
    }
  });

  /**
   * The log's bytes with one batch more, of a chunk that holds `data`, as a power cut leaves it: with `hole`
   * where nothing was written.
   */
  async function withLastBatch(
    data: Uint8Array,
    hole: (from: number, to: number) => [number, number],
  ): Promise<void> {
    await withStore(async (store) => {
      // Opening has made a table of the old log, and begun a new one.
      await store.batch(numberedBatch(2 * BATCHES + 1), { sync: true });
      await store.batch([{ type: 'put', key: chunkKey(chunkId(99)), value: data }], { sync: true });
    });
    const { path, bytes } = await file(/\.log$/);
    const last = fragments(bytes).findLast(({ type }) => type === 1 || type === 2)!;
    const [from, to] = hole(last.at, bytes.length);
    await writeFile(path, bytes.fill(0, from, to));
  }

  it('the batch that was on its way has holes, as after a power cut, even if it holds a log itself: what is before it', async () => {
    const { bytes } = await file(/\.log$/);
    const nested = Buffer.concat([bytes.subarray(0, 2 * BLOCK), bytes.subarray(0, 2 * BLOCK)]);
    const holes: ((from: number, to: number) => [number, number])[] = [
      (from) => [from, from + 7],
      (from) => [from, from + 4096],
      (from) => [from + 4096, from + 8192],
      (from, to) => [from + Math.floor((to - from) / 2), to],
      (_from, to) => [to - 4096, to],
      (from, to) => [from, to],
    ];
    for (const data of [new Uint8Array(4 * BLOCK).fill(1), nested])
      for (const hole of holes) {
        await rm(folder, { recursive: true });
        await cp(whole, folder, { recursive: true });
        await withLastBatch(data, hole);
        await withStore((store) => {
          assertNumbered(store);
          assert.equal(numberedLast(store), 2 * BATCHES + 1);
          assert.equal(store.getSync(chunkKey(chunkId(99))), undefined);
        });
      }
  });

  it('a table has a wrong bit anywhere', async () => {
    const { path, name, bytes } = await file(/\.ldb$/);
    for (let at = 0; at < bytes.length; at += 4999) {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 1 << (at % 8);
      await writeFile(path, copy);
      await assertDamaged(new RegExp(`${name} is damaged`));
    }
  });

  it('the end of the log is missing or nonsense, as after a power cut: earlier batches, each whole', async () => {
    const { path, bytes } = await file(/\.log$/);
    const ends = [1, 6, 7, 100, 5000, 40_000, bytes.length - 1, bytes.length];
    for (const cut of ends) {
      await truncate(path, bytes.length - cut);
      const last = await withStore((store) => {
        assertNumbered(store);
        return numberedLast(store);
      });
      assert.ok(last < 2 * BATCHES && last >= BATCHES, `${last} batches`);
      await rm(folder, { recursive: true });
      await cp(whole, folder, { recursive: true });
    }
    await writeFile(path, Buffer.concat([bytes, Buffer.alloc(BLOCK * 2 + 5)]));
    await withStore((store) => {
      assertNumbered(store);
      assert.equal(numberedLast(store), 2 * BATCHES);
    });
  });

  it('the store is in use: logs that become tables, and tables that go, are none', async () => {
    await withStore(async (store) => {
      let last = 2 * BATCHES;
      const done = new AbortController();
      const writing = (async () => {
        while (!done.signal.aborted) await store.batch(numberedBatch(++last), { sync: true });
      })();
      try {
        // Some dozens of logs.
        while (last < 2 * BATCHES + 500)
          for await (const { message } of store.damagedFiles()) assert.fail(message);
      } finally {
        done.abort();
        await writing;
      }
    });
  });

  it('a table was renamed by an older LevelDB: still found', async () => {
    const { path } = await file(/\.ldb$/);
    await rename(path, path.replace('.ldb', '.sst'));
    await withStore(assertNumbered);
  });
});

describe('the files of a level store that is checked', () => {
  const scratch = useScratch();

  it('are well as they were written, at both depths, with a rest after each piece', async () => {
    const folder = scratch.current.at('well');
    await makeNumberedStore(folder, BATCHES);
    for (const depth of ['metadata', 'all'] as const) {
      await checkLevelFiles(folder, depth);
      let rests = 0;
      const rest = (): Promise<void> => (rests++, Promise.resolve());
      for await (const error of damagedFiles(folder, depth, rest)) assert.fail(error.message);
      assert.ok(rests > 0);
    }
  });

  it('are told one by one, and counted in one error before LevelDB opens them', async () => {
    const folder = scratch.current.at('spoiled');
    await makeNumberedStore(folder, BATCHES);
    const tables = await filesLike(folder, /\.ldb$/);
    for (const table of tables) await truncate(table, 10);
    let count = 0;
    for await (const { message } of damagedFiles(folder, 'metadata')) {
      assert.match(message, /has 10 bytes/);
      count++;
    }
    assert.equal(count, tables.length);
    const others = new RegExp(`${count - 1} more places`);
    await assert.rejects(checkLevelFiles(folder), { code: 'damaged', message: others });
  });

  it('have batches that follow on each other, from what MANIFEST knows', () => {
    const batch = (sequence: number, count: number): Uint8Array => {
      const bytes = Buffer.alloc(12);
      bytes.writeBigUInt64LE(BigInt(sequence), 0);
      bytes.writeUInt32LE(count, 8);
      return bytes;
    };
    const sequence = new LogSequence({ lastSequence: 10 });
    assert.equal(sequence.record(batch(11, 2)), undefined);
    assert.equal(sequence.record(batch(13, 1)), undefined);
    assert.match(sequence.record(batch(15, 1))!, /missing/);
    assert.equal(sequence.records, 2);
    const behind = new LogSequence({ lastSequence: 10 });
    assert.match(behind.record(batch(12, 1))!, /MANIFEST is older/);
    assert.ok(behind.isBehindGap);
    // A log that became a table meanwhile.
    assert.equal(new LogSequence({ lastSequence: 10 }).record(batch(5, 3)), undefined);
    assert.match(new LogSequence({ lastSequence: 10 }).record(Buffer.alloc(3))!, /too early/);
  });
});
