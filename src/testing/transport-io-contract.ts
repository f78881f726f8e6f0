import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { chmod, open, readFile, stat, truncate, utimes } from 'node:fs/promises';
import { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
import type { ContractRunner } from './contract-runner.js';
import { tryRun, type Served } from './served-mount.js';

const MIB = 1024 ** 2;

export function bytesContract({ it }: ContractRunner, served: () => Served): void {
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
    assert.equal(image.count('flush'), flushed, 'a flush without a request');
    await file.close();
  });

  it('makes one write with RWF_DSYNC durable before it answers, where the transport sees the flag', async () => {
    const { directory, transport, at } = served();
    const image = directory.add('a', MIB);
    await tryRun('xfs_io', ['-c', 'pwrite -V 1 -D 0 4096', '-c', 'pwrite 0 4096', at('a')]);
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

export function failuresContract({ it }: ContractRunner, served: () => Served): void {
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
      const done = await tryRun(command, args);
      assert.match(done.stderr, /Operation not permitted/, `${command} ${args.join(' ')}`);
    }
  });
}

function fail(how: 'thrown' | 'rejected', error: Error): Promise<void> {
  if (how === 'thrown') throw error;
  return Promise.reject(error);
}
