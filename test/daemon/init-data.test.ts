import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { prepareDataFor } from '../../src/daemon/composition.js';
import type { DataRequest, PreparedData } from '../../src/daemon/init-data.js';
import { LABEL_BYTES, MARGIN } from '../../src/format/data-label.js';
import { openPoolData } from '../../src/store/pool-data.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const BLOCK = 64 * 1024;
const SIZE = 64 * 2 ** 20;

describe('what a direct pool is to be made on', function () {
  requireMounts(['mkfs.ext4', 'blkid', 'wipefs', 'losetup']);
  const scratch = useScratch();
  let count = 0;

  const prepare = (path: string, more: Partial<DataRequest> = {}): Promise<PreparedData> =>
    prepareDataFor({
      path,
      blockSize: BLOCK,
      dataSize: undefined,
      defaultSize: SIZE,
      force: false,
      ...more,
    });

  async function sparse(bytes: number): Promise<string> {
    const file = scratch.current.at(`file${count++}`);
    await writeFile(file, '');
    await truncate(file, bytes);
    return file;
  }

  const labelOf = async (path: string, uuid: string, chunks: number) => {
    const { handle, label } = await openPoolData(path, { uuid, blockSize: BLOCK, chunks });
    await handle.close();
    return label;
  };

  it('is made where it is not there, and goes again when it is not wanted', async () => {
    const file = scratch.current.at('new');
    const prepared = await prepare(file);
    assert.equal(prepared.dataSize, SIZE);
    await prepared.label({ uuid: 'mine', maker: '' });
    assert.equal((await stat(file)).size, SIZE + 2 * MARGIN);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal((await labelOf(file, 'mine', SIZE / BLOCK)).preallocated, false);
    await prepared.undo();
    assert.equal(existsSync(file), false);
    await assert.rejects(prepare(scratch.current.at('no/folder/data')), { code: 'not-found' });
  });

  it('is refused where it is too small, a folder, or no file at all', async () => {
    await assert.rejects(prepare(await sparse(2 ** 20)), { code: 'invalid-argument', message: /1048576/ });
    const folder = scratch.current.at('folder');
    await mkdir(folder);
    await assert.rejects(prepare(folder), (error: { code?: string }) => error.code !== undefined);
    await assert.rejects(prepare('/dev/null'), { code: 'invalid-argument' });
    const loop = await scratch.current.attach(await sparse(SIZE + 2 * MARGIN));
    await assert.rejects(prepare(loop, { dataSize: 2 * SIZE }), {
      code: 'invalid-argument',
      message: /would need/,
    });
  });

  it('grows a file that is there to what is asked for, and leaves it as it was after undo', async () => {
    const file = await sparse(2 ** 20);
    const prepared = await prepare(file, { dataSize: 2 * SIZE });
    assert.equal((await stat(file)).size, 2 ** 20);
    await prepared.undo();
    assert.equal((await stat(file)).size, 2 ** 20);
    await (await prepare(file, { dataSize: 2 * SIZE })).label({ uuid: 'mine', maker: '' });
    assert.equal((await stat(file)).size, 2 * SIZE + 2 * MARGIN);
  });

  it('is refused with a foreign signature, named, until force wipes it', async () => {
    const file = await sparse(2 * SIZE);
    await run('mkfs.ext4', ['-q', file]);
    const before = await readFile(file);
    await assert.rejects(prepare(file), { code: 'exists', message: /ext4/ });
    assert(before.equals(await readFile(file)), 'a refusal changes nothing');
    await (await prepare(file, { force: true })).label({ uuid: 'mine', maker: '' });
    await labelOf(file, 'mine', (2 * SIZE - 2 * MARGIN) / BLOCK);
    assert.doesNotMatch(await run('wipefs', [file]), /ext4/);
  });

  it('is refused with a partition table on it', async () => {
    const file = await sparse(2 * SIZE);
    const handle = await open(file, 'r+');
    await handle.write(partitionTable(), 0, 512, 0);
    await handle.close();
    await assert.rejects(prepare(file), { code: 'exists' });
  });

  it('is refused where it is the data of another pool', async () => {
    const file = await sparse(2 * SIZE);
    await (await prepare(file)).label({ uuid: 'first', maker: '' });
    await assert.rejects(prepare(file), { code: 'exists', message: /first/ });
    await (await prepare(file, { force: true })).label({ uuid: 'second', maker: '' });
    await assert.rejects(labelOf(file, 'first', 16), { code: 'damaged', message: /second/ });
  });

  it('is refused while it is mounted or held, with force as without', async () => {
    const file = await sparse(2 * SIZE);
    await run('mkfs.ext4', ['-q', file]);
    const loop = await scratch.current.attach(file);
    const target = await scratch.current.mount(loop, 'ext4');
    for (const force of [false, true]) {
      await assert.rejects(prepare(loop, { force }), { code: 'busy' });
      await assert.rejects(prepare(file, { force }), { code: 'busy', message: /loop/ });
    }
    await scratch.current.unmount(target);
    await assert.rejects(prepare(file, { force: true }), { code: 'busy' });
    await scratch.current.detach(loop);
    await (await prepare(file, { force: true })).label({ uuid: 'mine', maker: '' });
  });

  it('knows a file whose blocks are all there', async () => {
    const file = scratch.current.at('preallocated');
    await run('fallocate', ['--length', String(SIZE + 2 * MARGIN), file]);
    await (await prepare(file)).label({ uuid: 'mine', maker: '' });
    assert.equal((await labelOf(file, 'mine', SIZE / BLOCK)).preallocated, true);
  });

  it('is a block device, and nobody else may have it meanwhile', async () => {
    const loop = await scratch.current.attach(await sparse(SIZE + 2 * MARGIN));
    const prepared = await prepare(loop);
    assert.equal(prepared.dataSize, SIZE);
    await assert.rejects(prepare(loop), { code: 'busy' });
    await prepared.label({ uuid: 'mine', maker: '' });
    await labelOf(loop, 'mine', SIZE / BLOCK);
    await prepared.undo();
    const handle = await open(loop, 'r');
    const end = Buffer.alloc(LABEL_BYTES);
    await handle.read(end, 0, LABEL_BYTES, SIZE + 2 * MARGIN - LABEL_BYTES);
    await handle.close();
    assert(
      end.every((byte) => byte === 0),
      'undo takes the label back',
    );
  });
});

/** A DOS one, with one Linux partition of 32 MiB. */
function partitionTable(): Buffer {
  const sector = Buffer.alloc(512);
  sector[446 + 4] = 0x83;
  sector.writeUInt32LE(2048, 446 + 8);
  sector.writeUInt32LE(65536, 446 + 12);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
