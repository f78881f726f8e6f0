import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openLevelStore } from '../../src/store/level-store.js';
import { RecoverableStore } from '../../src/store/recoverable-store.js';
import { openStandIn } from '../../src/store/stand-in-store.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const MIB = 2 ** 20;
const NO_ROOM = { code: 'no-space' };
const key = (number: number): Uint8Array => Uint8Array.of(1, number >> 8, number & 255);
const value = (fill: number): Uint8Array => new Uint8Array(65536).fill(fill);

describe('a LevelDB that a full disk closed', function () {
  this.timeout(60_000);
  requireMounts([]);
  const scratch = useScratch();

  it('has one to read from, of which nothing is left', async () => {
    const folder = scratch.current.at('closed');
    const made = await openLevelStore(folder, { createIfMissing: true });
    for (let number = 0; number < 8; number++)
      await made.batch([{ type: 'put', key: key(number), value: value(number) }], { sync: true });
    await made.close();
    const before = await readdir(folder);
    const { store, end } = await openStandIn(folder, {});
    for (let number = 0; number < 8; number++) assert.equal((await store.get(key(number)))?.[0], number);
    await end();
    assert.deepEqual(await readdir(folder), before);
    assert.equal(existsSync(store.path), false);
  });

  it('is read while it finds no room to be opened, and takes writes when it does', async () => {
    const disk = await scratch.current.folder();
    await run('mount', ['-t', 'tmpfs', '-o', 'size=48m,nr_inodes=64', 'small', disk]);
    scratch.current.defer(async () => {
      await run('umount', [disk]);
    });
    const folder = path.join(disk, 'store');
    const made = await openLevelStore(folder, { createIfMissing: true });
    await made.close();
    const store = await RecoverableStore.open(folder);
    const put = (number: number): Promise<void> =>
      store.batch([{ type: 'put', key: key(number), value: value(number & 255) }], { sync: true });
    let last = 0;
    const fill = async (): Promise<void> => {
      for (;;) await put(last++);
    };
    const filler = path.join(disk, 'filler');
    await put(last++);
    await writeFile(filler, new Uint8Array(36 * MIB));
    await assert.rejects(fill(), NO_ROOM);
    const answered = last - 1;

    // There is room in bytes, but no file can be made.
    await rm(filler);
    const inodes = path.join(disk, 'inodes');
    await mkdir(inodes);
    const use = async (): Promise<void> => {
      for (let n = 0; ; n++) await writeFile(path.join(inodes, `${n}`), '');
    };
    await assert.rejects(use(), { code: 'ENOSPC' });
    for (let round = 0; round < 3; round++) {
      await assert.rejects(store.recover(), NO_ROOM);
      for (let number = 0; number < answered; number++)
        assert.deepEqual((await store.get(key(number)))?.[0], number & 255);
      assert.equal(store.getSync(key(0))?.length, 65536);
      const snapshot = store.snapshot();
      assert.equal(snapshot.getSync(key(1))?.[0], 1);
      await snapshot.close();
    }
    assert.equal(store.needsRecovery, true);

    await rm(inodes, { recursive: true });
    await store.recover();
    assert.equal(store.needsRecovery, false);
    await put(answered);
    await store.close();
    const left = (await readdir('/dev/shm')).filter((name) =>
      name.startsWith(`thinfuse-store-${process.pid}-`),
    );
    assert.deepEqual(left, []);
    const again = await openLevelStore(folder);
    for (let number = 0; number <= answered; number++)
      assert.deepEqual((await again.get(key(number)))?.[0], number & 255);
    await again.close();
  });
});
