import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createPool, openPool, type ByteRange, type Device, type Pool } from '../../src/library/index.js';

const CHUNK = 64 * 1024;

async function dataRanges(device: Device): Promise<ByteRange[]> {
  const found = [];
  for await (const range of device.dataRanges()) found.push(range);
  return found;
}

describe('library: a pool in this process', () => {
  let folder: string;
  let pool: Pool;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-library-'));
    pool = await createPool(path.join(folder, 'root'));
  });

  afterEach('the metadata is sound', async () => {
    await pool.settle();
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('keeps what was written over a close, in a device and in its snapshot', async () => {
    const disk = await pool.create('disk', { size: 1024 * CHUNK });
    await disk.write(CHUNK - 2, Buffer.from('abcd'));
    const copy = await disk.snapshot('copy');
    await copy.write(CHUNK, Buffer.from('CD'));
    await pool.close();
    pool = await openPool(path.join(folder, 'root'));
    const read = async (name: string): Promise<string> =>
      Buffer.from(await pool.device(name).read(CHUNK - 2, 4)).toString();
    assert.deepEqual([await read('disk'), await read('copy')], ['abcd', 'abCD']);
    assert.deepEqual(await dataRanges(pool.device('disk')), [{ offset: 0, length: 2 * CHUNK }]);
  });

  it('refuses a range that is not all inside, and touches nothing', async () => {
    const disk = await pool.create('disk', { size: CHUNK });
    for (const [offset, length] of [
      [CHUNK - 1, 2],
      [-1, 1],
      [0.5, 1],
      [CHUNK + 1, 0],
      [Number.NaN, 1],
    ] as const)
      await assert.rejects(disk.read(offset, length), { code: 'invalid-argument' });
    await assert.rejects(disk.write(CHUNK - 1, new Uint8Array(2)), { code: 'invalid-argument' });
    await assert.rejects(disk.discard(0, CHUNK + 1), { code: 'invalid-argument' });
    assert.equal(disk.info().mapped, 0);
  });

  it('gives space back for what is discarded, zeroed and removed', async () => {
    const disk = await pool.create('disk', { size: 8 * CHUNK });
    await disk.write(0, new Uint8Array(8 * CHUNK).fill(1));
    await disk.discard(0, 2 * CHUNK);
    await disk.writeZeroes(2 * CHUNK, CHUNK + 5);
    await disk.flush();
    assert.equal(disk.info().mapped, 5 * CHUNK);
    assert.deepEqual(await disk.read(3 * CHUNK, 6), Uint8Array.of(0, 0, 0, 0, 0, 1));
    await disk.remove();
    await pool.settle();
    assert.equal(pool.info().dataUsed, 0);
    assert.throws(() => disk.info(), { code: 'not-found' });
  });

  it('renames, grows and limits a device that is being read', async () => {
    const disk = await pool.create('disk', { size: CHUNK, quota: 4 * CHUNK });
    await disk.write(0, Buffer.from('x'));
    await disk.rename('data');
    await disk.grow(8 * CHUNK);
    assert.equal(disk.name, 'data');
    await assert.rejects(disk.write(0, new Uint8Array(8 * CHUNK).fill(1)), { code: 'no-space' });
    await disk.setQuota(undefined);
    await disk.write(0, new Uint8Array(8 * CHUNK).fill(1));
    await assert.rejects(disk.grow(CHUNK), { code: 'invalid-argument' });
    assert.deepEqual(
      pool.devices().map(({ name }) => name),
      ['base', 'data'],
    );
  });

  it('makes no device with a quota that cannot be', async () => {
    await assert.rejects(pool.create('disk', { size: CHUNK, quota: -1 }), { code: 'invalid-argument' });
    assert.throws(() => pool.device('disk'), { code: 'not-found' });
  });

  it('has one owner', async () => {
    await assert.rejects(openPool(path.join(folder, 'root')), { code: 'locked' });
    await assert.rejects(createPool(path.join(folder, 'root')), { code: 'exists' });
  });

  it('leaves nothing where it cannot be made', async () => {
    const data = path.join(folder, 'nowhere', 'data');
    await assert.rejects(createPool(path.join(folder, 'other'), { data }));
    assert.deepEqual(await readdir(folder), ['root']);
  });

  it('keeps chunks in a file of their own', async () => {
    await using direct = await createPool(path.join(folder, 'direct'), {
      data: path.join(folder, 'data'),
      dataSize: 1024 * CHUNK,
    });
    const disk = await direct.create('disk', { size: CHUNK });
    await disk.write(0, Buffer.from('direct'));
    assert.equal(Buffer.from(await disk.read(0, 6)).toString(), 'direct');
    assert.equal(direct.info().kind, 'direct');
  });

  it('says that it is closed', async () => {
    const disk = await pool.create('disk', { size: CHUNK });
    await pool.close();
    await assert.rejects(disk.write(0, Buffer.from('x')), { code: 'closed' });
    pool = await openPool(path.join(folder, 'root'));
  });

  it('sends a device, and what changed in it, into another pool, without a daemon', async () => {
    const disk = await pool.create('disk', { size: 1024 * CHUNK });
    await disk.write(3 * CHUNK, Buffer.alloc(CHUNK, 1));
    const monday = await disk.snapshot('monday');
    await disk.write(5 * CHUNK, Buffer.alloc(CHUNK, 2));
    await disk.discard(3 * CHUNK, CHUNK);
    const other = await createPool(path.join(folder, 'other'));
    try {
      const whole = await other.receive(pool.send('monday'));
      assert.deepEqual(whole, { name: 'monday', size: 1024 * CHUNK, written: CHUNK, base: null });
      const since = await other.receive(pool.send('disk', { since: 'monday' }), { name: 'copy' });
      assert.deepEqual([since.name, since.written, since.base], ['copy', CHUNK, 'monday']);
      await assert.rejects(other.receive(pool.send('monday')), { code: 'exists' });
      const content = async (from: Pool, name: string): Promise<string> =>
        Buffer.from(await from.device(name).read(3 * CHUNK, 3 * CHUNK)).toString('hex');
      for (const [here, there] of [
        ['monday', 'monday'],
        ['disk', 'copy'],
      ] as const)
        assert.equal(await content(other, there), await content(pool, here));
      // Nothing that was held still is left.
      assert.deepEqual(
        [pool, other].map((one) => one.devices().map(({ name }) => String(name))),
        [
          ['base', 'disk', 'monday'],
          ['base', 'monday', 'copy'],
        ],
      );
      assert.deepEqual((await other.check()).findings, []);
    } finally {
      await other.close();
    }
    assert.deepEqual(await dataRanges(monday), [{ offset: 3 * CHUNK, length: CHUNK }]);
  });

  it('leaves nothing of a stream that was cut, and lets go of a device whose stream nobody reads on', async () => {
    const disk = await pool.create('disk', { size: 1024 * CHUNK });
    await disk.write(0, Buffer.alloc(4 * CHUNK, 1));
    for await (const bytes of pool.send('disk')) {
      assert.ok(bytes.length > 0);
      break;
    }
    async function* cut(): AsyncGenerator<Uint8Array> {
      let left = 2 * CHUNK;
      for await (const bytes of pool.send('disk')) {
        yield bytes.subarray(0, left);
        if ((left -= bytes.length) <= 0) return;
      }
    }
    await assert.rejects(pool.receive(cut(), { name: 'copy' }));
    assert.deepEqual(
      pool.devices().map(({ name }) => String(name)),
      ['base', 'disk'],
    );
  });

  it('writes a device as a sparse file', async () => {
    const disk = await pool.create('disk', { size: 1024 * CHUNK });
    await disk.write(7 * CHUNK, Buffer.from('here'));
    const file = path.join(folder, 'disk.img');
    await pool.exportRaw('disk', file);
    const { size, blocks } = await stat(file);
    assert.equal(size, 1024 * CHUNK);
    assert.ok(blocks * 512 < 4 * CHUNK, `${blocks} blocks`);
    assert.equal((await readFile(file)).subarray(7 * CHUNK, 7 * CHUNK + 4).toString(), 'here');
  });
});
