import assert from 'node:assert/strict';
import { open, type FileHandle } from 'node:fs/promises';
import { constants } from 'node:os';
import { chunkId, type ChunkId } from '../../src/format/ids.js';
import type { PartialChunks, RemoteChunks } from '../../src/store/chunk-store.js';
import { FileChunks, type FileRange } from '../../src/store/file-chunks.js';
import { SyncUnderWay } from '../../src/threads/sync-under-way.js';
import { useScratch } from '../support/mounts.js';

const SIZE = 64 * 1024;
const START = 2 ** 20;

/** What the metadata has of partial chunks. */
class Backings implements PartialChunks {
  readonly known = new Map<ChunkId, { backing: ChunkId; pages: number }>();
  readonly backingOf = (chunk: ChunkId): ChunkId | undefined => this.known.get(chunk)?.backing;
  readonly setPages = (chunk: ChunkId, pages: number): void => {
    this.known.get(chunk)!.pages = pages;
  };
  readonly makeWhole = (chunk: ChunkId): void => void this.known.delete(chunk);
  readonly all = (): { chunk: ChunkId; backing: ChunkId; pages: number }[] =>
    [...this.known].map(([chunk, of]) => ({ chunk, ...of }));
}

const NOTHING_REMOTE: RemoteChunks = {
  isRemote: () => false,
  makeLocal: () => assert.fail('nothing is remote'),
  fetch: () => assert.fail('nothing is remote'),
  all: () => [],
  damaged: () => [],
};

describe('the chunks of a pool with a data file', () => {
  const scratch = useScratch();
  let handle: FileHandle;
  let partial: Backings;
  let punched: FileRange[];
  let chunks: FileChunks;
  let count = 0;

  beforeEach(async () => {
    handle = await open(scratch.current.at(`data${count++}`), 'w+');
    await handle.truncate(START + 16 * SIZE);
    partial = new Backings();
    punched = [];
    chunks = make();
  });

  afterEach(() => chunks.close());

  function make(zeroedFrom?: number): FileChunks {
    return new FileChunks({
      handle,
      chunkSize: SIZE,
      start: START,
      chunks: 16,
      partial,
      remote: NOTHING_REMOTE,
      punchDelay: 1,
      zeroedFrom,
      punch: (ranges) => {
        punched.push(...ranges);
        return Promise.resolve();
      },
    });
  }

  /** Chunk 1 is a copy of chunk 0, with a page of its own. */
  async function makePartial(): Promise<void> {
    chunks.access.provision(chunkId(0), 0, new Uint8Array(SIZE).fill(1), 0, SIZE, false);
    chunks.access.copy(chunkId(0), chunkId(1), 0, new Uint8Array(4096).fill(2), 0, 4096);
    assert.equal(chunks.takeBacking(chunkId(1)), 0);
    partial.known.set(chunkId(1), { backing: chunkId(0), pages: 0 });
    chunks.prepare();
    await Promise.resolve();
  }

  it('tell a commit which pages partial ones have, and which are whole since', async () => {
    await makePartial();
    assert.deepEqual(partial.all(), [{ chunk: 1, backing: 0, pages: 1 }]);
    chunks.access.overwrite(chunkId(1), 8192, new Uint8Array(4096).fill(3), 0, 4096);
    chunks.prepare();
    assert.equal(partial.all()[0]!.pages, 0b101);
    await chunks.consolidate(chunkId(1));
    await chunks.sync();
    assert.deepEqual([chunks.needsSync, chunks.isDirty], [false, true]);
    chunks.prepare();
    assert.equal(chunks.isDirty, false);
    assert.deepEqual(partial.all(), []);
    const got = Buffer.alloc(SIZE);
    chunks.access.read(chunkId(1), 0, got, 0, SIZE);
    const wanted = Buffer.alloc(SIZE, 1).fill(2, 0, 4096).fill(3, 8192, 12288);
    assert.ok(got.equals(wanted));
  });

  it('are partial as the metadata has them when the pool is opened again', async () => {
    await makePartial();
    const again = make();
    const got = Buffer.alloc(8192);
    again.access.read(chunkId(1), 0, got, 0, 8192);
    assert.ok(got.equals(Buffer.alloc(8192, 1).fill(2, 0, 4096)));
  });

  it('need a sync after a write and after an opening, and none after one', async () => {
    assert.ok(chunks.needsSync);
    await chunks.sync();
    assert.ok(!chunks.needsSync);
    chunks.access.provision(chunkId(3), 0, new Uint8Array(SIZE), 0, SIZE, false);
    assert.ok(chunks.needsSync);
    await Promise.all([chunks.sync(), chunks.sync()]);
    assert.ok(!chunks.needsSync);
  });

  it('are punched out together when they are free, and hold zeroes then', async () => {
    await Promise.all([chunks.recycle([chunkId(5), chunkId(3)]), chunks.recycle([chunkId(4), chunkId(9)])]);
    assert.deepEqual(punched, [
      { offset: START + 3 * SIZE, length: 3 * SIZE },
      { offset: START + 9 * SIZE, length: SIZE },
    ]);
    assert.ok(chunks.takeZeroed(chunkId(4)));
    // It is told once: whoever took it writes to it.
    assert.ok(!chunks.takeZeroed(chunkId(4)));
    assert.ok(!chunks.takeZeroed(chunkId(10)));
    const untouched = make(10);
    assert.ok(untouched.takeZeroed(chunkId(12)));
    assert.ok(!untouched.takeZeroed(chunkId(11)));
  });

  it('fails with the sync of a thread that it has waited for: the kernel tells of the failure once', async () => {
    chunks.access.provision(chunkId(1), 0, new Uint8Array(SIZE).fill(1), 0, SIZE, false);
    const { syncs, failed } = chunks.memory;
    const { busy, began } = syncs.underWay;
    // As a thread does that syncs.
    Atomics.store(busy, 0, 1);
    Atomics.store(began, 0, Atomics.load(syncs.counts, 0));
    const synced = chunks.sync();
    await new Promise((resolve) => setImmediate(resolve));
    Atomics.store(failed, 0, -constants.errno.EIO);
    Atomics.store(busy, 0, 0);
    Atomics.notify(busy, 0);
    await assert.rejects(synced, { code: 'io', message: /EIO/ });
    assert(chunks.needsSync);
    await assert.rejects(chunks.sync(), { code: 'io' });
  });

  it('fails with a sync that ran beside its own: the kernel tells one of them of the failure', async () => {
    chunks.access.provision(chunkId(1), 0, new Uint8Array(SIZE).fill(1), 0, SIZE, false);
    const { syncs, failed } = chunks.memory;
    let end = (): void => undefined;
    const beside = new SyncUnderWay(syncs.underWay).runInTurns(async () => {
      await new Promise<void>((resolve) => (end = resolve));
      Atomics.store(failed, 0, -constants.errno.EIO);
    });
    const synced = chunks.sync();
    // As good as always, its own has ended by now.
    setTimeout(() => {
      end();
    }, 50);
    await assert.rejects(synced, { code: 'io', message: /EIO/ });
    await beside;
    assert(chunks.needsSync);
  });
});
