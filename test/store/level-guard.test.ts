import assert from 'node:assert/strict';
import { open, readdir, rename, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey, rangeOf } from '../../src/format/keys.js';
import { LevelGuard } from '../../src/store/level-guard.js';
import { openLevelStore, type LevelStore } from '../../src/store/level-store.js';
import { blockBytes, readOutline } from '../../src/store/level-table.js';
import { useScratch } from '../support/mounts.js';
import { SMALL_TUNING } from '../support/numbered-batches.js';

const CHUNKS = 40;
const SIZE = 32768;

function valueOf(chunk: number): Uint8Array {
  return new Uint8Array(SIZE).fill(chunk + 1);
}

/** LevelDB ends this process where it meets what was damaged here. */
describe('tables that are damaged while a level store is open', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  let folder: string;
  let store: LevelStore;
  let count = 0;

  beforeEach(async () => {
    folder = scratch.current.at(`store${count++}`);
    const made = await openLevelStore(folder, { createIfMissing: true, tuning: SMALL_TUNING });
    for (let chunk = 0; chunk < CHUNKS; chunk++)
      await made.batch([{ type: 'put', key: chunkKey(chunkId(chunk)), value: valueOf(chunk) }], {
        sync: true,
      });
    await made.compact(rangeOf('chunk'));
    await made.close();
    store = await openLevelStore(folder, { tuning: SMALL_TUNING });
  });

  afterEach(() => store.close());

  /** The largest table, and where its parts lie. */
  async function table(): Promise<{ file: FileHandle; size: number }> {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.ldb'));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
    const size = Math.max(...sizes);
    return { file: await open(join(folder, names[sizes.indexOf(size)]!), 'r+'), size };
  }

  async function flip(file: FileHandle, at: number): Promise<void> {
    const bytes = Buffer.alloc(1);
    await file.read(bytes, 0, 1, at);
    await file.write(Uint8Array.of(bytes[0]! ^ 0xff), 0, 1, at);
  }

  /** @returns chunks that cannot be read; what can is as it was written, but for values, which have seals */
  async function lost(): Promise<number[]> {
    const found: number[] = [];
    for (let chunk = 0; chunk < CHUNKS; chunk++)
      try {
        assert.equal(store.getSync(chunkKey(chunkId(chunk)))?.length, SIZE);
        await store.get(chunkKey(chunkId(chunk)));
      } catch (error) {
        assert.ok(error instanceof ThinError && error.code === 'damaged', String(error));
        found.push(chunk);
      }
    return found;
  }

  async function scanned(): Promise<number> {
    let count = 0;
    for await (const _entry of store.entries(rangeOf('chunk'))) count++;
    return count;
  }

  it('lose what a block of them held, and no other', async () => {
    const { file, size } = await table();
    const { blocks } = await readOutline(file, size);
    for (const block of [blocks[0]!, blocks[Math.floor(blocks.length / 2)]!, blocks.at(-1)!]) {
      const end = block.offset + blockBytes(block);
      // The entry's lengths, its key and tag, the restart points, their number, the kind of the block.
      const head = Array.from({ length: 20 }, (_, at) => block.offset + at);
      const tail = Array.from({ length: 9 }, (_, at) => end - 5 - at);
      for (const at of [...head, ...tail]) {
        await flip(file, at);
        const chunks = await lost();
        assert.ok(chunks.length <= 1, `byte ${at}: ${chunks.join()}`);
        if (chunks.length === 1) await assert.rejects(scanned(), { code: 'damaged' });
        await flip(file, at);
      }
      assert.deepEqual(await lost(), []);
    }
    assert.equal(await scanned(), CHUNKS);
    await file.close();
  });

  it('are damaged where their index is, a second later', async () => {
    const { file, size } = await table();
    const { blocks } = await readOutline(file, size);
    await lost();
    await pause(1100);
    // In the last entry of the index, behind which there are restart points and the footer.
    await flip(file, size - 48 - 5 - 4 * (blocks.length + 1) - 3);
    assert.notDeepEqual(await lost(), []);
    await file.close();
  });

  /** A block of chunks whose key is not what it was, so that LevelDB would write keys out of order. */
  async function spoil(): Promise<void> {
    // The look at all tables, which is before every other.
    await store.compact(rangeOf('options'));
    const { file, size } = await table();
    const { blocks } = await readOutline(file, size);
    const key = blocks[Math.floor(blocks.length / 2)]!.offset + 5;
    await file.write(Buffer.alloc(2, 0xff), 0, 2, key);
    await file.close();
  }

  it('end no compaction that LevelDB begins by itself: the write before it is refused', async () => {
    await spoil();
    // More than level 1 takes, so that the levels below it are merged, too.
    const written = async (): Promise<void> => {
      for (let round = 0; round < 1500; round++)
        await store.batch(
          [{ type: 'put', key: chunkKey(chunkId(round % 600)), value: valueOf(round % 200) }],
          {
            sync: false,
          },
        );
    };
    await assert.rejects(written(), { code: 'damaged', message: /its table \d+ is damaged at byte \d+/ });
    assert.equal(store.getSync(chunkKey(chunkId(0)))?.length, SIZE);
  });

  it('end no compaction that is asked for', async () => {
    await spoil();
    await assert.rejects(store.compact(rangeOf('chunk')), { code: 'damaged' });
    assert.equal(store.getSync(chunkKey(chunkId(0)))?.length, SIZE);
  });

  it('are looked at before a key or a range of them is read, and not elsewhere', async () => {
    const guard = await LevelGuard.over(folder);
    for (let chunk = 0; chunk < CHUNKS; chunk++) guard.beforeGet(chunkKey(chunkId(chunk)), false);
    await guard.beforeRange(rangeOf('chunk'));
    await spoil();
    const refused = [];
    for (let chunk = 0; chunk < CHUNKS; chunk++)
      try {
        guard.beforeGet(chunkKey(chunkId(chunk)), false);
      } catch (error) {
        assert.ok(error instanceof ThinError && error.code === 'damaged');
        refused.push(chunk);
      }
    assert.equal(refused.length, 1);
    await assert.rejects(guard.beforeRange(rangeOf('chunk')), { code: 'damaged' });
    await guard.beforeRange(rangeOf('node'));
    await guard.close();
  });

  it('end no compaction that reads bring about', async () => {
    // One table above the others that has none of the keys asked for, so that each read of one looks in both.
    for (const chunk of [0, CHUNKS - 1])
      await store.batch([{ type: 'put', key: chunkKey(chunkId(chunk)), value: valueOf(chunk) }], {
        sync: true,
      });
    await store.close();
    store = await openLevelStore(folder, { tuning: SMALL_TUNING });
    const told: ThinError[] = [];
    store.watchFiles((error) => told.push(error));
    await spoil();
    const bad = await lost();
    assert.equal(bad.length, 1);
    const chunk = bad[0] === 1 ? 2 : 1;
    let refused = 0;
    for (let read = 0; read < 20_000 && refused === 0; read++) {
      try {
        assert.equal(store.getSync(chunkKey(chunkId(chunk)))?.length, SIZE);
      } catch (error) {
        assert.ok(error instanceof ThinError && error.code === 'damaged', String(error));
        refused++;
      }
      // LevelDB first moves the table down, until it lies over the damaged one.
      await pause(2);
    }
    assert.equal(told[0]?.code, 'damaged');
    assert.ok(refused > 0);
  });

  it('are not trusted where they cannot be looked at', async () => {
    await rename(join(folder, 'CURRENT'), join(folder, 'CURRENT.away'));
    await assert.rejects(store.compact(rangeOf('chunk')), { code: 'io', message: /cannot be verified/ });
    await rename(join(folder, 'CURRENT.away'), join(folder, 'CURRENT'));
    await store.compact(rangeOf('chunk'));
    assert.deepEqual(await lost(), []);
  });
});
