import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { FolderDisk } from '../../src/host/folder-disk.js';
import type { PoolOptions } from '../../src/pool/info.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import type { SpaceEvent } from '../../src/pool/space-events.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { openDataFile } from '../../src/store/data-file.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { RecoverableStore } from '../../src/store/recoverable-store.js';
import { FullStore } from '../support/full-store.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { BLOCK, makeSmallPool, TEST_OPTIONS } from '../support/small-pool.js';

const A = 'a' as DeviceName;
const MIB = 2 ** 20;
/** Blocks that are there before the disk is full: more than memory has. */
const FIRST = 128;
const bytes = (fill: number, length = BLOCK): Uint8Array => new Uint8Array(length).fill(fill);

async function done(pool: ThinPool): Promise<void> {
  await pool.settle();
  assert.deepEqual((await pool.check()).findings, []);
  await pool.close();
}

describe('a pool whose host runs out of disk', () => {
  it('takes no data while the disk is short; reads, discards, removals and commits go on', async () => {
    const store = new FullStore();
    const events: SpaceEvent[] = [];
    const open = { hostDisk: store.disk, events: { onSpace: (event: SpaceEvent) => events.push(event) } };
    const pool = await makeSmallPool(store, { open });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 4 * BLOCK));
    await pool.createSnapshot({ name: A, origin: BASE_NAME, kind: 'snapshot' });
    store.room = 2 ** 20;
    await base.write(0, bytes(2, 512));
    await base.flush();
    assert.equal(pool.info().mode, 'out_of_data_space');
    const full = { code: 'no-space', message: /the disk of the pool's folder is full/ };
    await assert.rejects(async () => base.write(0, bytes(3, 512)), full);
    await assert.rejects(async () => base.write(5 * BLOCK, bytes(3)), full);
    await assert.rejects(pool.createSnapshot({ name: 'b' as DeviceName, origin: A, kind: 'snapshot' }), {
      code: 'no-space',
    });
    const into = new Uint8Array(BLOCK);
    await base.read(0, into);
    assert.deepEqual([into[0], into[512]], [2, 1]);
    await base.discard(BLOCK, BLOCK);
    await base.flush();
    await pool.remove(A);
    await pool.settle();
    assert.deepEqual([pool.devices().length, store.reserve], [1, 0]);
    store.room = 2 ** 30;
    await pool.update(BASE_NAME, { filesystemSize: 1 });
    await pool.settle();
    assert.deepEqual([pool.info().mode, store.reserve], ['rw', 1]);
    await base.write(5 * BLOCK, bytes(4));
    assert.deepEqual(
      events
        .filter(({ kind }) => kind === 'host-disk')
        .map((event) => event.kind === 'host-disk' && event.state),
      ['short', 'enough'],
    );
    await done(pool);
  });

  it('tries a commit again that found no room, and loses nothing', async () => {
    const store = new FullStore();
    const pool = await makeSmallPool(store, { open: { hostDisk: store.disk } });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 2 * BLOCK));
    await base.flush();
    await base.write(BLOCK, bytes(2));
    store.full = true;
    store.room = 0;
    await assert.rejects(base.flush(), { code: 'no-space' });
    assert.equal(pool.info().mode, 'out_of_data_space');
    await assert.rejects(base.flush(), { code: 'no-space' });
    await assert.rejects(async () => base.write(0, bytes(9)), { code: 'no-space' });
    const into = new Uint8Array(2 * BLOCK);
    await base.read(0, into);
    assert.deepEqual([into[0], into[BLOCK]], [1, 2]);
    store.full = false;
    store.room = 2 ** 30;
    await base.flush();
    assert.deepEqual([pool.info().mode, store.recoveries], ['rw', 1]);
    await base.write(2 * BLOCK, bytes(3));
    await done(pool);
    const again = await openPool(store.reopen(), { commitInterval: 0 });
    const all = new Uint8Array(3 * BLOCK);
    await (await again.activate(BASE_NAME)).read(0, all);
    assert.deepEqual([all[0], all[BLOCK], all[2 * BLOCK]], [1, 2, 3]);
    await done(again);
  });

  it('lets a queued writer go on when there is room', async () => {
    const store = new FullStore();
    const options = { errorIfNoSpace: false };
    const pool = await makeSmallPool(store, { options, open: { hostDisk: store.disk, commitInterval: 20 } });
    const base = await pool.activate(BASE_NAME);
    store.room = 0;
    await base.write(0, bytes(1));
    await base.flush();
    const waiting = base.write(BLOCK, bytes(2));
    store.room = 2 ** 30;
    await waiting;
    assert.equal(pool.info().mode, 'rw');
    await done(pool);
  });
});

describe('a pool on a disk that is full', function () {
  this.timeout(120_000);
  requireMounts();
  const scratch = useScratch();

  for (const kind of ['leveldb', 'direct'] as const)
    it(`goes on without being opened again when others have made room (${kind})`, async () => {
      const disk = await scratch.current.folder('disk');
      await run('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'none', disk]);
      const folder = path.join(disk, 'pool');
      const tuning = { writeBufferSize: MIB, maxFileSize: MIB };
      const made = await openLevelStore(folder, { createIfMissing: true, tuning });
      // Packed, it would take more than the disk's room of them to fill it.
      const options: PoolOptions = { ...TEST_OPTIONS, baseSize: 256 * MIB, compression: 'off' };
      await createPool(made, {
        kind,
        path: folder,
        blockSize: BLOCK,
        dataSize: 512 * MIB,
        metadataSize: 64 * MIB,
        options,
      });
      await made.close();
      const dataFile = path.join(disk, 'data');
      if (kind === 'direct') await writeFile(dataFile, '');
      const data = kind === 'direct' ? { handle: (await openDataFile(dataFile)).handle } : undefined;
      const pool = await openPool(await RecoverableStore.open(folder, { tuning }), {
        ...(data === undefined ? {} : { data }),
        hostDisk: new FolderDisk(folder, new ChildProcessExec()),
        commitInterval: 0,
        stagedBytes: MIB,
        chunkCache: 0,
      });
      const base = await pool.activate(BASE_NAME);
      await base.write(0, bytes(1, FIRST * BLOCK));
      await base.flush();
      const filler = path.join(disk, 'filler');
      await mkdir(filler);
      for (let file = 0; ; file++)
        try {
          await writeFile(path.join(filler, String(file)), bytes(7, MIB));
        } catch {
          break;
        }
      let written = FIRST;
      await assert.rejects(
        async () => {
          for (; written < 4096; written++) {
            await base.write(written * BLOCK, bytes(1 + (written % 200)));
            await base.flush();
          }
        },
        { code: 'no-space' },
      );
      const into = new Uint8Array(BLOCK);
      await base.read(0, into);
      assert.equal(into[0], 1);
      assert.notEqual(pool.info().mode, 'ro');
      await rm(filler, { recursive: true });
      // The first commit finds the room, and what it lets go of is written again. Reads that come while the
      // store is opened anew wait for it.
      const reads = Array.from({ length: 4 * FIRST }, async (_, at) =>
        base.read((at % FIRST) * BLOCK, new Uint8Array(512)),
      );
      await base.flush();
      await base.flush();
      await Promise.all(reads);
      await base.write(written * BLOCK, bytes(9));
      await base.flush();
      assert.equal(pool.info().mode, 'rw');
      for (let block = FIRST; block < written; block++) {
        await base.read(block * BLOCK, into);
        assert.equal(into[0], 1 + (block % 200), `block ${block}`);
      }
      await done(pool);
      await scratch.current.unmount(disk);
    });
});
