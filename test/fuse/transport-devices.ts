import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Served } from '../../src/testing/served-mount.js';
import { run, tryRun, type Scratch } from '../support/mounts.js';

const MIB = 1024 ** 2;
const CHUNK = 64 * 1024;

/** Loop devices, filesystems and fio on the image files of a transport. */
export function devicesOnTransport(mount: () => Served, current: { readonly current: Scratch }): void {
  const served = (): Served & { readonly scratch: Scratch } => ({ ...mount(), scratch: current.current });

  it('carries an xfs on a loop device with direct I/O', async () => {
    const { directory, scratch, transport, at } = served();
    const image = directory.add('xfs', 512 * MIB);
    const loop = await scratch.attach(at('xfs'));
    assert.equal((await run('losetup', ['--noheadings', '--output', 'DIO', loop])).trim(), '1');
    await run('mkfs.xfs', ['-q', '-f', loop]);
    const folder = await scratch.mount(loop, 'xfs');
    const data = randomBytes(20 * MIB);
    await writeFile(path.join(folder, 'data'), data);
    for (let i = 0; i < 50; i++) await writeFile(path.join(folder, `small-${i}`), `file ${i}`);
    const before = image.count('flush');
    await run('sync', ['-f', folder]);
    assert.ok(image.count('flush') > before, 'sync of the filesystem must reach flush');
    await scratch.unmount(folder);
    await run('xfs_repair', ['-n', loop]);

    const again = await scratch.mount(loop, 'xfs');
    const back = await readFile(path.join(again, 'data'));
    assert.equal(digest(back), digest(data));
    assert.equal(await readFile(path.join(again, 'small-49'), 'utf8'), 'file 49');
    if (transport.supportsDiscard) {
      const mapped = image.mappedBytes;
      await rm(path.join(again, 'data'));
      // xfs frees a removed file in the background, and trims what it freed only when its log is out: a sync
      // may come too early for that.
      for (let round = 0; round < 50 && image.mappedBytes >= mapped - 15 * MIB; round++) {
        await sleep(20 * round);
        await run('sync', ['-f', again]);
        await run('fstrim', [again]);
      }
      assert.ok(image.mappedBytes < mapped - 15 * MIB, 'trim of the filesystem must give space back');
    }
    await scratch.unmount(again);
    await scratch.detach(loop);
  });

  it('carries mkfs, dd and cp on the file itself', async () => {
    const { directory, scratch, at } = served();
    directory.add('a', 320 * MIB);
    await run('mkfs.xfs', ['-q', '-f', at('a')]);
    await run('xfs_repair', ['-n', '-f', at('a')]);
    const copy = scratch.at('copy');
    await run('cp', [at('a'), copy]);
    await run('cmp', [at('a'), copy]);
    await writeFile(copy, randomBytes(3 * MIB));
    await run('dd', [`if=${copy}`, `of=${at('a')}`, 'bs=100000', 'conv=notrunc,fsync']);
    await run('cmp', ['--bytes', String(3 * MIB), at('a'), copy]);
  });

  it('shows the same bytes through the loop device and through the file', async () => {
    const { directory, scratch, at } = served();
    directory.add('a', 8 * MIB);
    const loop = await scratch.attach(at('a'));
    const source = scratch.at('source');
    for (let round = 0; round < 3; round++) {
      await writeFile(source, randomBytes(MIB));
      await run('dd', [`if=${source}`, `of=${loop}`, 'bs=64K', `seek=${round * 16}`, 'oflag=direct']);
      const offset = ['--ignore-initial', `0:${round * MIB}`, '--bytes', String(MIB)];
      await run('cmp', [...offset, source, at('a')]);
      await writeFile(source, randomBytes(MIB));
      await run('dd', [`if=${source}`, `of=${at('a')}`, 'bs=100000', 'conv=notrunc', `oflag=seek_bytes`]);
      await run('dd', [`if=${loop}`, `of=${scratch.at('seen')}`, 'bs=64K', 'count=16', 'iflag=direct']);
      await run('cmp', [source, scratch.at('seen')]);
    }
    await scratch.detach(loop);
  });

  it('lets a loop device grow with its file', async () => {
    const { directory, scratch, at } = served();
    const image = directory.add('a', 8 * MIB);
    const loop = await scratch.attach(at('a'));
    image.size = 5 * 1024 ** 3;
    await run('losetup', ['--set-capacity', loop]);
    assert.equal((await run('blockdev', ['--getsize64', loop])).trim(), String(image.size));
    await scratch.detach(loop);
  });

  it('holds what fio wrote, on the file and through a loop device', async () => {
    const { directory, scratch, at } = served();
    const image = directory.add('a', 64 * MIB);
    await run('fio', verify(at('a'), 0));
    const loop = await scratch.attach(at('a'));
    await run('fio', verify(loop, 1));
    await scratch.detach(loop);
    assert.ok(image.mappedBytes > 0);
  });

  it('holds what fio wrote when the image is slow and the queue is deep', async () => {
    const { directory, scratch, at } = served();
    const image = directory.add('a', 16 * MIB);
    image.before = () => new Promise((resolve) => setTimeout(resolve, 2));
    const loop = await scratch.attach(at('a'));
    const deep = ['--iodepth=200', '--size=16m', '--io_size=16m'];
    await run('fio', [...verify(loop, 2), ...deep]);
    await run('fio', [...verify(at('a'), 3), ...deep]);
    await scratch.detach(loop);
    image.before = undefined;
  });

  it('passes an error on to the loop device, and recovers', async () => {
    const { directory, scratch, at } = served();
    const image = directory.add('a', 8 * MIB);
    const loop = await scratch.attach(at('a'));
    const write = ['if=/dev/zero', `of=${loop}`, 'bs=4096', 'count=1', 'oflag=direct'];
    image.before = ({ operation }) =>
      operation === 'write' ? Promise.reject(new Error('broken')) : undefined;
    assert.notEqual((await tryRun('dd', write)).code, 0);
    image.before = undefined;
    await run('dd', write);
    await scratch.detach(loop);
  });

  it('discards, zeroes and finds holes where it can, and refuses where it cannot', async () => {
    const { directory, scratch, transport, at } = served();
    const image = directory.add('a', 8 * MIB);
    await image.write(0, Buffer.alloc(8 * MIB, 1));
    const punch = ['--punch-hole', '--offset', String(CHUNK), '--length', String(2 * CHUNK), at('a')];
    if (!transport.supportsDiscard) {
      assert.notEqual((await tryRun('fallocate', punch)).code, 0);
      assert.equal(image.mappedBytes, 8 * MIB);
      return;
    }
    await run('fallocate', punch);
    assert.equal(image.mappedBytes, 8 * MIB - 2 * CHUNK);
    // A loop device sends write-zeroes as a punched hole: partial chunks must read as zeroes as well.
    for (const [how, offset] of [
      ['--punch-hole', 5 * CHUNK + 100],
      ['--zero-range', 8 * CHUNK + 100],
    ] as const) {
      await run('fallocate', [how, '--offset', String(offset), '--length', String(CHUNK), at('a')]);
      const around = Buffer.alloc(CHUNK + 2);
      await image.read(offset - 1, around);
      assert.ok(around.equals(Buffer.concat([Buffer.of(1), Buffer.alloc(CHUNK), Buffer.of(1)])), how);
    }
    assert.notEqual((await tryRun('fallocate', ['--length', String(9 * MIB), at('a')])).code, 0);
    assert.equal(image.size, 8 * MIB);

    const holes =
      'import os,sys; f=os.open(sys.argv[1],os.O_RDONLY); print(os.lseek(f,0,4), os.lseek(f,65536,3))';
    assert.equal((await run('python3', ['-c', holes, at('a')])).trim(), `${CHUNK} ${3 * CHUNK}`);

    const loop = await scratch.attach(at('a'));
    await run('blkdiscard', ['--offset', String(4 * MIB), '--length', String(MIB), loop]);
    assert.equal(image.mappedBytes, 8 * MIB - 2 * CHUNK - MIB);
    await run('blkdiscard', ['--zeroout', '--offset', String(6 * MIB), '--length', String(MIB), loop]);
    const zeroes = Buffer.alloc(MIB, 1);
    await image.read(6 * MIB, zeroes);
    assert.ok(zeroes.equals(Buffer.alloc(MIB)));
    assert.equal(image.mappedBytes, 8 * MIB - 2 * CHUNK - 2 * MIB);
    await scratch.detach(loop);
  });
}

function verify(target: string, seed: number): string[] {
  return [
    '--name=verify',
    `--filename=${target}`,
    '--ioengine=libaio',
    '--direct=1',
    '--iodepth=16',
    '--rw=randwrite',
    '--bsrange=4k-256k',
    '--size=64m',
    '--io_size=64m',
    '--verify=crc32c',
    '--verify_fatal=1',
    '--fallocate=none',
    `--randseed=${seed}`,
  ];
}

function digest(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
