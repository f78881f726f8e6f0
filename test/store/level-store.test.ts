import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ThinError } from '../../src/errors/thin-error.js';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey, rangeOf } from '../../src/format/keys.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { assertNumbered, numberedBatch, numberedLast, SMALL_TUNING } from '../support/numbered-batches.js';

const CHILD = fileURLToPath(new URL('../support/store-child.ts', import.meta.url));
const key = Uint8Array.of(1);
const operation = { type: 'put', key, value: Uint8Array.of(7) } as const;
const names = async (folder: string): Promise<string[]> => (await readdir(folder)).sort();

async function problemOf(promise: Promise<unknown>): Promise<ThinError> {
  return promise.then(
    () => assert.fail('it should have failed'),
    (error: unknown) => error as ThinError,
  );
}

describe('level store', () => {
  const scratch = useScratch();
  let folder: string;

  beforeEach(async () => {
    folder = await scratch.current.folder();
  });

  /** A child of store-child.ts, once it has said its first line. */
  async function child(mode: string, path: string): Promise<{ process: ChildProcess; line: string }> {
    const process_ = scratch.current.start(process.execPath, ['--import', 'tsx', CHILD, mode, path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface(process_.stdout!), 'line')) as [string];
    return { process: process_, line };
  }

  describe('making and opening', () => {
    it('makes the folders above, for the owner only, and keeps what was written', async () => {
      const path = join(folder, 'a', 'b');
      const store = await openLevelStore(path, { createIfMissing: true });
      await store.batch([operation], { sync: true });
      await store.close();
      assert.equal((await stat(join(folder, 'a'))).mode & 0o777, 0o700);
      const again = await openLevelStore(path);
      assert.deepEqual(again.getSync(key), Uint8Array.of(7));
      await again.close();
    });

    it('opens without loss as often as it is closed', async () => {
      for (let round = 0; round < 6; round++) {
        const store = await openLevelStore(folder, { createIfMissing: true, tuning: SMALL_TUNING });
        assertNumbered(store);
        for (let n = numberedLast(store) + 1; n <= (round + 1) * 20; n++)
          await store.batch(numberedBatch(n), { sync: n % 2 === 0 });
        await store.close();
      }
    });

    it('finds no pool in an absent, empty or unfinished folder, and leaves it so', async () => {
      const absent = await problemOf(openLevelStore(join(folder, 'none')));
      assert.equal(absent.code, 'no-pool');
      assert.match(absent.message, /none.*thinfuse init/);
      assert.equal((await problemOf(openLevelStore(folder))).code, 'no-pool');
      await writeFile(join(folder, 'LOCK'), '');
      await writeFile(join(folder, 'MANIFEST-000001'), '');
      assert.equal((await problemOf(openLevelStore(folder))).code, 'no-pool');
      assert.deepEqual(await names(folder), ['LOCK', 'MANIFEST-000001']);
    });

    it('makes a store where an earlier attempt was cut short, and beside lost+found', async () => {
      await writeFile(join(folder, 'LOCK'), '');
      await writeFile(join(folder, 'MANIFEST-000001'), 'x');
      await mkdir(join(folder, 'lost+found'));
      const store = await openLevelStore(folder, { createIfMissing: true });
      await store.batch([operation], { sync: true });
      await store.close();
    });

    it('refuses a store that is there when a new one is asked for', async () => {
      await (await openLevelStore(folder, { createIfMissing: true })).close();
      const problem = await problemOf(openLevelStore(folder, { createIfMissing: true, errorIfExists: true }));
      assert.equal(problem.code, 'exists');
      assert.ok(problem.message.includes(folder));
    });

    it('refuses a folder of something else, untouched', async () => {
      await writeFile(join(folder, 'notes.txt'), 'mine');
      const problem = await problemOf(openLevelStore(folder, { createIfMissing: true }));
      assert.equal(problem.code, 'not-empty');
      assert.ok(problem.message.includes(folder));
      assert.deepEqual(await names(folder), ['notes.txt']);
    });

    it('refuses a path that is, or leads through, a file', async () => {
      const file = join(folder, 'file');
      await writeFile(file, 'mine');
      for (const path of [file, join(file, 'below')]) {
        const problem = await problemOf(openLevelStore(path, { createIfMissing: true }));
        assert.equal(problem.code, 'invalid-argument');
        assert.ok(problem.message.includes(path));
      }
      assert.equal(await readFile(file, 'utf8'), 'mine');
    });

    it('refuses a folder that this user may not write', async function () {
      if (process.getuid?.() !== 0) return this.skip();
      await chmod(scratch.current.root, 0o755);
      await chmod(folder, 0o755);
      process.seteuid!(65534);
      try {
        for (const path of [folder, join(folder, 'new')]) {
          const problem = await problemOf(openLevelStore(path, { createIfMissing: true }));
          assert.equal(problem.code, 'permission');
          assert.ok(problem.message.includes(path));
        }
      } finally {
        process.seteuid!(0);
      }
      assert.deepEqual(await names(folder), []);
    });
  });

  describe('one owner', () => {
    it('names the process that has it open', async () => {
      const { process: holder, line } = await child('hold', folder);
      assert.equal(line, 'open');
      const problem = await problemOf(openLevelStore(folder));
      assert.equal(problem.code, 'locked');
      assert.ok(problem.message.includes(folder));
      assert.equal(problem.details['pid'], holder.pid);
      assert.ok(problem.message.includes(`process ${holder.pid}`));
      assert.match(problem.message, /store-child/);
      await scratch.current.stop(holder);
      await (await openLevelStore(folder)).close();
    });

    it('keeps other processes out, also after this one tried to open it twice', async () => {
      const store = await openLevelStore(folder, { createIfMissing: true });
      await symlink(folder, `${folder}-link`);
      for (const path of [folder, `${folder}/.`, `${folder}-link`]) {
        const problem = await problemOf(openLevelStore(path));
        assert.equal(problem.code, 'locked');
        assert.match(problem.message, /this process/);
      }
      assert.equal((await child('hold', folder)).line, 'locked');
      await store.batch([operation], { sync: true });
      await store.close();
      await (await openLevelStore(folder)).close();
    });

    it('lets go of a store that it could not open', async () => {
      await (await openLevelStore(folder, { createIfMissing: true })).close();
      const current = join(folder, 'CURRENT');
      await rename(current, `${folder}-current`);
      await writeFile(current, 'nonsense');
      assert.equal((await problemOf(openLevelStore(folder))).code, 'damaged');
      await rename(`${folder}-current`, current);
      await (await openLevelStore(folder)).close();
    });
  });

  describe('a disk with limits', () => {
    requireMounts();

    it('leaves nothing behind on a disk that is full or read-only', async () => {
      const disk = await scratch.current.mount('tmpfs', 'tmpfs', ['size=64k']);
      await writeFile(join(disk, 'ballast'), new Uint8Array(65536));
      const full = await problemOf(openLevelStore(join(disk, 'a', 'b'), { createIfMissing: true }));
      assert.equal(full.code, 'no-space');
      assert.ok(full.message.includes(join(disk, 'a', 'b')));
      assert.deepEqual(await names(disk), ['ballast']);
      await run('mount', ['-o', 'remount,ro', disk]);
      assert.equal(
        (await problemOf(openLevelStore(join(disk, 'a'), { createIfMissing: true }))).code,
        'read-only',
      );
      assert.deepEqual(await names(disk), ['ballast']);
      await scratch.current.unmount(disk);
    });

    for (const [size, tuning] of [
      ['6m', {}],
      ['1500k', SMALL_TUNING],
    ] as const)
      it(`says when the disk is full, takes no more, and has all that it took (${JSON.stringify(tuning)})`, async () => {
        const disk = await scratch.current.mount('tmpfs', 'tmpfs', [`size=${size}`]);
        const path = join(disk, 'pool');
        const store = await openLevelStore(path, { createIfMissing: true, tuning });
        let acknowledged = 0;
        const problem = await problemOf(
          (async () => {
            for (let n = 1; n < 2000; n++) {
              await store.batch(numberedBatch(n), { sync: true });
              acknowledged = n;
            }
          })(),
        );
        assert.equal(problem.code, 'no-space');
        assert.ok(problem.message.includes(path));
        assert.ok(acknowledged > 10);
        await run('mount', ['-o', 'remount,size=64m', disk]);
        assert.equal((await problemOf(store.batch([operation], { sync: true }))).code, 'io');
        assertNumbered(store);
        await store.close();
        const again = await openLevelStore(path, { tuning });
        assert.ok(numberedLast(again) >= acknowledged);
        assertNumbered(again);
        await again.batch(numberedBatch(numberedLast(again) + 1), { sync: true });
        await again.close();
        await scratch.current.unmount(disk);
      });
  });

  it('gives the space of overwritten values back when it is told to', async () => {
    const store = await openLevelStore(folder, { createIfMissing: true, tuning: SMALL_TUNING });
    const onDisk = async (): Promise<number> => {
      const sizes = (await names(folder)).filter((name) => name.endsWith('.ldb'));
      return (await Promise.all(sizes.map((name) => stat(join(folder, name))))).reduce(
        (sum, { size }) => sum + size,
        0,
      );
    };
    for (let n = 0; n < 200; n++)
      await store.batch(
        [{ type: 'put', key: chunkKey(chunkId(n % 50)), value: new Uint8Array(65552).fill(n) }],
        {
          sync: false,
        },
      );
    for (let n = 0; n < 40; n++)
      await store.batch([{ type: 'del', key: chunkKey(chunkId(n)) }], { sync: false });
    await store.compact(rangeOf('chunk'));
    assert.ok((await onDisk()) < 12 * 65552, `${await onDisk()} bytes left`);
    assert.deepEqual(store.getSync(chunkKey(chunkId(49))), new Uint8Array(65552).fill(199));
    await store.close();
  });
});
