import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { chmod, open, readFile, readdir, stat, statfs, truncate, utimes } from 'node:fs/promises';
import path from 'node:path';
import { ThinError, type ThinErrorCode } from '../../src/errors/thin-error.js';
import type { Transport, TransportFactory } from '../../src/fuse/transport.js';
import { MemoryDirectory } from '../support/memory-image.js';
import { mounts, requireMounts, run, tryRun, useScratch, type Scratch } from '../support/mounts.js';
import { deviceCompliance } from './transport-compliance-devices.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const SERVER = path.join(import.meta.dirname, '../support/serve-until-told.ts');

/** What a test of a transport works on: one mount over an in-memory directory. */
export interface Served {
  readonly transport: Transport;
  readonly directory: MemoryDirectory;
  readonly scratch: Scratch;
  /** The path of a name below the mount point. */
  readonly at: (name: string) => string;
}

/**
 * What every transport must keep. This process serves the mount that it tests, so whatever blocks (dd, mkfs,
 * losetup) runs in a child, at most two fs.promises calls wait on the mount at once, and no file on it is
 * open while a child starts: between fork and exec the child closes its copy, that close is a FLUSH, and this
 * process waits for the exec.
 */
export function transportCompliance(name: string, factory: TransportFactory): void {
  describe(`${name}: transport compliance`, () => {
    requireMounts(['fio', 'mkfs.xfs', 'xfs_io', 'xfs_repair', 'blkdiscard', 'fallocate', 'setpriv']);
    const scratch = useScratch();
    let served: Served;

    beforeEach(async () => {
      const directory = new MemoryDirectory();
      const transport = factory(await scratch.current.folder('dev'), directory);
      scratch.current.defer(() => transport.unmount());
      await transport.mount();
      served = {
        transport,
        directory,
        scratch: scratch.current,
        at: (file) => path.join(transport.mountPoint, file),
      };
    });

    afterEach('nothing is left mounted, no file counts as open', async () => {
      const { transport, directory } = served;
      await transport.unmount();
      await transport.ended;
      await until(() => [...directory.open.values()].every((count) => count === 0));
      const left = (await mounts()).filter(({ target }) => target === transport.mountPoint);
      assert.deepEqual(left, []);
    });

    namesAndAttributes(() => served);
    bytes(() => served);
    failures(() => served);
    lifetime(() => served, factory);
    deviceCompliance(() => served);
  });
}

function namesAndAttributes(served: () => Served): void {
  it('shows names as the directory has them, without a remount', async () => {
    const { directory, transport, at } = served();
    assert.deepEqual(await readdir(transport.mountPoint), []);
    await assert.rejects(stat(at('a')), { code: 'ENOENT' });
    directory.add('a', MIB);
    directory.add('docker-8:1-2-ünïcode', MIB);
    assert.deepEqual((await readdir(transport.mountPoint)).sort(), ['a', 'docker-8:1-2-ünïcode']);
    assert.equal((await stat(at('docker-8:1-2-ünïcode'))).size, MIB);
    directory.files.delete('a');
    assert.deepEqual(await readdir(transport.mountPoint), ['docker-8:1-2-ünïcode']);
    await assert.rejects(open(at('a')), { code: 'ENOENT' });
  });

  it('lists more names than one reply holds', async () => {
    const { directory, transport } = served();
    const names = Array.from({ length: 3000 }, (_, i) => `docker-254:1-131072-${'x'.repeat(40)}${i}`);
    for (const file of names) directory.add(file, 512);
    assert.deepEqual((await readdir(transport.mountPoint)).sort(), names.sort());
  });

  it('shows size, mapped space, mode and time', async () => {
    const { directory, at, transport } = served();
    const image = directory.add('big', 9 * 1024 ** 4 + 512);
    await image.write(0, Buffer.alloc(100_000, 1));
    const seen = await stat(at('big'));
    assert.equal(seen.size, 9 * 1024 ** 4 + 512);
    assert.equal(seen.blocks * 512, image.mappedBytes);
    assert.equal(seen.mode, 0o100600);
    assert.equal(seen.uid, 0);
    assert.equal(seen.mtimeMs, image.modifiedAt);
    assert.equal((await stat(transport.mountPoint)).mode, 0o040700);
    image.readOnly = true;
    assert.equal((await stat(at('big'))).mode & 0o222, 0);
  });

  it('shows growth at once, to handles that are open too', async () => {
    const { directory, at } = served();
    const image = directory.add('a', MIB);
    const file = await open(at('a'), 'r+');
    try {
      assert.equal((await file.stat()).size, MIB);
      image.size = 5 * GIB;
      assert.equal((await file.stat()).size, 5 * GIB);
      assert.equal((await stat(at('a'))).size, 5 * GIB);
      await file.write(Buffer.from('end'), 0, 3, 5 * GIB - 3);
      const { buffer } = await file.read(Buffer.alloc(3), 0, 3, 5 * GIB - 3);
      assert.equal(buffer.toString(), 'end');
    } finally {
      await file.close();
    }
  });

  it('tells the space of the pool, also beyond 16 TiB', async () => {
    const { directory, transport } = served();
    for (const total of [10 * GIB, 300 * 1024 ** 4]) {
      directory.total = total;
      directory.free = total / 4;
      const { bsize, blocks, bfree } = await statfs(transport.mountPoint);
      assert.deepEqual([bsize * blocks, bsize * bfree], [total, total / 4]);
    }
  });

  it('keeps others out', async () => {
    const { directory, at, scratch } = served();
    directory.add('secret', MIB);
    await chmod(scratch.root, 0o755);
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const peek = await tryRun('setpriv', [...nobody, 'head', '-c', '1', at('secret')]);
    assert.match(peek.stderr, /Permission denied/);
  });
}

function bytes(served: () => Served): void {
  it('reads and writes at odd offsets and lengths as a flat file would', async () => {
    const { directory, at } = served();
    const size = 3 * MIB + 512;
    directory.add('a', size);
    const expected = Buffer.alloc(size);
    const file = await open(at('a'), 'r+');
    try {
      let seed = 12345;
      const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
      for (let step = 0; step < 150; step++) {
        const offset = random(size);
        const length = Math.min(size - offset, 1 + random(step % 5 === 0 ? MIB : 5000));
        const data = Buffer.alloc(length, random(255) + 1);
        data.copy(expected, offset);
        assert.equal((await file.write(data, 0, length, offset)).bytesWritten, length);
        const from = random(size);
        const { bytesRead, buffer } = await file.read(Buffer.alloc(200_000), 0, 200_000, from);
        assert.equal(bytesRead, Math.min(200_000, size - from));
        assert.ok(buffer.subarray(0, bytesRead).equals(expected.subarray(from, from + bytesRead)));
      }
      assert.ok((await readFile(at('a'))).equals(expected));
    } finally {
      await file.close();
    }
  });

  it('reaches beyond 4 GiB', async () => {
    const { directory, at } = served();
    const size = 70 * 1024 ** 4;
    const image = directory.add('a', size);
    const file = await open(at('a'), 'r+');
    try {
      for (const offset of [2 ** 31 - 7, 2 ** 32 - 3, 2 ** 32 + 12345, 2 ** 40 + 1, size - 10]) {
        const data = Buffer.from(offset.toString(36).padEnd(10, '.').slice(0, 10));
        await file.write(data, 0, 10, offset);
        const { buffer } = await file.read(Buffer.alloc(10), 0, 10, offset);
        assert.deepEqual(buffer, data);
        const held = Buffer.alloc(10);
        await image.read(offset, held);
        assert.deepEqual(held, data);
      }
    } finally {
      await file.close();
    }
  });

  it('makes what is written with O_DSYNC or O_SYNC durable before it answers', async () => {
    const { directory, at } = served();
    const image = directory.add('a', MIB);
    for (const flags of [constants.O_DSYNC, constants.O_SYNC]) {
      const file = await open(at('a'), constants.O_RDWR | flags);
      try {
        const flushed = image.count('flush');
        await file.write(Buffer.alloc(4096, 1), 0, 4096, 4096);
        assert.equal(image.calls.at(-1)?.operation, 'flush');
        assert.equal(image.count('flush'), flushed + 1);
        image.before = ({ operation }) => {
          if (operation === 'flush') throw new ThinError('no-space', 'no room to commit');
          return undefined;
        };
        await assert.rejects(file.write(Buffer.alloc(512, 1), 0, 512, 0), { code: 'ENOSPC' });
      } finally {
        image.before = undefined;
        await file.close();
      }
    }
    const file = await open(at('a'), 'r+');
    const flushed = image.count('flush');
    await file.write(Buffer.alloc(4096, 1), 0, 4096, 4096);
    assert.equal(image.count('flush'), flushed, 'what nobody asked for');
    await file.close();
  });

  it('makes one write with RWF_DSYNC durable before it answers, where the transport sees the flag', async () => {
    const { directory, transport, at } = served();
    const image = directory.add('a', MIB);
    await run('xfs_io', ['-c', 'pwrite -V 1 -D 0 4096', '-c', 'pwrite 0 4096', at('a')]);
    const durable = transport.kind === 'kernel' ? ['flush'] : [];
    assert.deepEqual(
      image.calls.map(({ operation }) => operation).filter((operation) => operation !== 'read'),
      ['write', ...durable, 'write', 'flush'],
      'the last flush is that of the close',
    );
  });

  it('passes requests of 128 KiB and more', async () => {
    const { directory, at } = served();
    const image = directory.add('a', 4 * MIB);
    const file = await open(at('a'), constants.O_RDWR | constants.O_DIRECT);
    try {
      await file.write(Buffer.alloc(2 * MIB, 7), 0, 2 * MIB, 0);
      await file.read(Buffer.alloc(2 * MIB), 0, 2 * MIB, 0);
    } finally {
      await file.close();
    }
    assert.ok(image.longest('write') >= 128 * 1024, `longest write: ${image.longest('write')}`);
    assert.ok(image.longest('read') >= 128 * 1024, `longest read: ${image.longest('read')}`);
  });

  it('has several requests under way at once', async () => {
    const { directory, at } = served();
    const image = directory.add('a', 4 * MIB);
    const together = 4;
    let arrived = 0;
    let release: () => void = () => undefined;
    const all = new Promise<void>((resolve) => (release = resolve));
    image.before = ({ operation }) => {
      if (operation !== 'read') return undefined;
      if (++arrived === together) release();
      return all;
    };
    const readers = Array.from({ length: together }, (_, i) =>
      tryRun('dd', [`if=${at('a')}`, 'of=/dev/null', 'bs=4096', 'count=1', `skip=${i}`, 'iflag=direct']),
    );
    assert.deepEqual(
      (await Promise.all(readers)).map(({ code }) => code),
      [0, 0, 0, 0],
    );
    assert.ok(image.mostInFlight >= together);
  });

  it('makes fsync and close wait for flush', async () => {
    const { directory, at } = served();
    const image = directory.add('a', MIB);
    const file = await open(at('a'), 'r+');
    await file.write(Buffer.alloc(512), 0, 512, 0);
    await file.sync();
    assert.equal(image.count('flush'), 1);
    await file.datasync();
    assert.equal(image.count('flush'), 2);
    await file.close();
    assert.equal(image.count('flush'), 3);
  });

  it('lets a handle keep its image when another one takes the name', async () => {
    const { directory, at } = served();
    const first = directory.add('a', MIB);
    const file = await open(at('a'), 'r+');
    try {
      directory.files.delete('a');
      const second = directory.add('a', 2 * MIB);
      assert.equal((await stat(at('a'))).size, 2 * MIB);
      await file.write(Buffer.from('first'), 0, 5, 0);
      assert.deepEqual([first.mappedBytes > 0, second.mappedBytes], [true, 0]);
      assert.equal((await readFile(at('a'))).length, 2 * MIB);
    } finally {
      await file.close();
    }
  });
}

function failures(served: () => Served): void {
  const cases: [ThinErrorCode, string][] = [
    ['no-space', 'ENOSPC'],
    ['damaged', 'EIO'],
    ['read-only', 'EROFS'],
    ['closed', 'ESHUTDOWN'],
    ['timeout', 'ETIMEDOUT'],
  ];
  for (const how of ['thrown', 'rejected'] as const)
    it(`answers errors that are ${how} with their errno, and the next request as ever`, async () => {
      const { directory, at } = served();
      const image = directory.add('a', MIB);
      const file = await open(at('a'), 'r+');
      try {
        for (const [code, errno] of cases) {
          for (const request of [
            () => file.read(Buffer.alloc(4096), 0, 4096, 0),
            () => file.write(Buffer.alloc(4096), 0, 4096, 0),
            () => file.sync(),
          ]) {
            image.before = () => fail(how, new ThinError(code, `a: ${code}`));
            await assert.rejects(request(), { code: errno });
            image.before = undefined;
            await request();
          }
        }
        image.before = () => fail(how, new TypeError('a bug'));
        await assert.rejects(file.read(Buffer.alloc(1), 0, 1, 0), { code: 'EIO' });
      } finally {
        image.before = undefined;
        await file.close();
      }
    });

  it('refuses writes past the end, reads up to it', async () => {
    const { directory, at } = served();
    const image = directory.add('a', MIB);
    const file = await open(at('a'), 'r+');
    try {
      await assert.rejects(file.write(Buffer.alloc(2), 0, 2, MIB - 1), { code: 'EFBIG' });
      await assert.rejects(file.write(Buffer.alloc(1), 0, 1, MIB), { code: 'EFBIG' });
      assert.equal((await file.read(Buffer.alloc(100), 0, 100, MIB - 3)).bytesRead, 3);
      assert.equal((await file.read(Buffer.alloc(100), 0, 100, MIB)).bytesRead, 0);
      assert.equal(image.count('write'), 0);
    } finally {
      await file.close();
    }
  });

  it('keeps a read-only device read-only', async () => {
    const { directory, at } = served();
    const image = directory.add('a', MIB);
    image.readOnly = true;
    await assert.rejects(open(at('a'), 'r+'), { code: 'EROFS' });
    assert.equal((await readFile(at('a'))).length, MIB);
  });

  it('takes a truncate only to the size there is, and attributes without effect', async () => {
    const { directory, at } = served();
    directory.add('a', MIB);
    await truncate(at('a'), MIB);
    for (const size of [0, MIB - 1, MIB + 1])
      await assert.rejects(truncate(at('a'), size), { code: 'EPERM' });
    await chmod(at('a'), 0o644);
    await utimes(at('a'), 1, 1);
    assert.equal((await stat(at('a'))).mode, 0o100600);
  });

  it('refuses to create, remove and rename', async () => {
    const { directory, at } = served();
    directory.add('a', MIB);
    for (const [command, ...args] of [
      ['touch', at('new')],
      ['mkdir', at('new')],
      ['mkfifo', at('new')],
      ['rm', '-f', at('a')],
      ['mv', at('a'), at('b')],
      ['ln', at('a'), at('b')],
      ['ln', '-s', 'a', at('b')],
    ] as const) {
      const done = await tryRun(command, args, { env: { ...process.env, LC_ALL: 'C' } });
      assert.match(done.stderr, /Operation not permitted/, `${command} ${args.join(' ')}`);
    }
  });
}

function lifetime(served: () => Served, factory: TransportFactory): void {
  it('mounts once and unmounts once, however often it is asked', async () => {
    const { transport, directory } = served();
    directory.add('a', MIB);
    await transport.mount();
    assert.equal((await mounts()).filter(({ target }) => target === transport.mountPoint).length, 1);
    await Promise.all([transport.unmount(), transport.unmount()]);
    await transport.unmount();
  });

  it('says who is in the way, and what is missing', async () => {
    const { transport, directory, scratch } = served();
    const second = factory(transport.mountPoint, directory);
    await assert.rejects(second.mount(), { code: 'busy' });
    await second.unmount();
    assert.equal((await mounts()).filter(({ target }) => target === transport.mountPoint).length, 1);
    await assert.rejects(factory(scratch.at('nowhere', 'dev'), directory).mount(), { code: 'not-found' });
  });

  it('unmounts lazily under an open file', async () => {
    const { transport, directory, scratch, at } = served();
    directory.add('a', MIB);
    const holder = scratch.start('sh', ['-c', `exec 3<'${at('a')}'; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await new Promise((resolve) => holder.stdout?.once('data', resolve));
    assert.equal(directory.open.get('a'), 1);
    await transport.unmount();
    await transport.ended;
    assert.equal((await mounts()).filter(({ target }) => target === transport.mountPoint).length, 0);
    await scratch.stop(holder);
    await until(() => directory.open.get('a') === 0);
  });

  it('waits for requests in flight when it unmounts', async () => {
    const { transport, directory, at } = served();
    const image = directory.add('a', MIB);
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const arrived = new Promise<void>((resolve) => {
      image.before = ({ operation }) => {
        if (operation !== 'read') return undefined;
        resolve();
        return gate;
      };
    });
    const reader = tryRun('head', ['-c', '4096', at('a')]);
    await arrived;
    let unmounted = false;
    const unmounting = transport.unmount().then(() => (unmounted = true));
    await until(async () => !(await mounts()).some(({ target }) => target === transport.mountPoint));
    assert.equal(unmounted, false);
    release();
    assert.equal((await reader).code, 0);
    await unmounting;
    await until(() => directory.open.get('a') === 0);
  });

  it('notices an unmount from outside', async () => {
    const { transport, directory } = served();
    directory.add('a', MIB);
    assert.equal((await tryRun('umount', [transport.mountPoint])).code, 0);
    await transport.ended;
    await transport.unmount();
  });

  it('notices an aborted connection', async () => {
    const { transport, directory, at } = served();
    directory.add('a', MIB);
    await tryRun('umount', ['-f', '-l', transport.mountPoint]);
    await transport.ended;
    await assert.rejects(stat(at('a')), { code: 'ENOENT' });
  });

  for (const how of ['exits', 'is killed'] as const)
    it(`hangs nobody when the serving process ${how} with its mount up`, async () => {
      const { transport, scratch } = served();
      const folder = await scratch.folder('dev');
      const child = scratch.start(process.execPath, ['--import', 'tsx', SERVER, transport.kind, folder], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      assert.equal((await stat(path.join(folder, 'a'))).size, MIB);
      if (how === 'exits') {
        child.stdin?.write('exit\n');
        assert.equal(await ended, 3);
      } else await scratch.stop(child);
      await assert.rejects(stat(path.join(folder, 'a')), ({ code }: NodeJS.ErrnoException) =>
        ['ENOENT', 'ENOTCONN'].includes(code ?? ''),
      );
    });

  it('leaves the folder free for the next mount', async () => {
    const { transport, directory } = served();
    await transport.unmount();
    const next = factory(transport.mountPoint, directory);
    await next.mount();
    directory.add('a', MIB);
    assert.deepEqual(await readdir(transport.mountPoint), ['a']);
    await transport.unmount();
    assert.deepEqual(await readdir(transport.mountPoint), ['a']);
    await next.unmount();
  });
}

function fail(how: 'thrown' | 'rejected', error: Error): Promise<void> {
  if (how === 'thrown') throw error;
  return Promise.reject(error);
}

/** Mocha's own limit ends a wait for what never comes. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}
