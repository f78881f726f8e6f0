import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { LABEL_BYTES } from '../../src/format/data-label.js';
import { openDataFile } from '../../src/store/data-file.js';
import { writeLabels } from '../../src/store/data-labels.js';
import { GrowingData } from '../../src/store/grow-data.js';
import { openPoolData, type PoolData } from '../../src/store/pool-data.js';
import { useScratch } from '../support/mounts.js';

const BLOCK = 64 * 1024;
const POOL = { uuid: 'pool', blockSize: BLOCK };

describe('data that grows', () => {
  const scratch = useScratch();
  let count = 0;

  async function make(chunks: number): Promise<string> {
    const file = scratch.current.at(`data${count++}`);
    await writeFile(file, '');
    await truncate(file, chunks * BLOCK + LABEL_BYTES);
    const data = await openDataFile(file);
    await writeLabels(data, { ...POOL, chunks, preallocated: false, start: 0, maker: '' });
    await data.handle.close();
    return file;
  }

  async function isPoolOf(file: string, chunks: number): Promise<PoolData> {
    const data = await openPoolData(file, { ...POOL, chunks });
    await data.handle.close();
    return data;
  }

  it('is found by either size until the superblock tells, and leaves zeroes where its label was', async () => {
    const file = await make(4);
    const data = await openPoolData(file, { ...POOL, chunks: 4 });
    const growing = new GrowingData(file, data);
    const settle = await growing.grow(6);
    await isPoolOf(file, 4);
    await isPoolOf(file, 6);
    await settle();
    assert.equal((await isPoolOf(file, 6)).size, 6 * BLOCK + LABEL_BYTES);
    const again = await growing.grow(9);
    await again();
    await isPoolOf(file, 9);
    const bytes = await readFile(file);
    assert.ok(bytes.subarray(0, 9 * BLOCK).every((byte) => byte === 0));
    await data.handle.close();
  });

  it('keeps its label where there was room already', async () => {
    const file = await make(8);
    const data = await openPoolData(file, { ...POOL, chunks: 4 });
    const settle = await new GrowingData(file, data).grow(7);
    await settle();
    assert.equal((await isPoolOf(file, 7)).labelAt, 8 * BLOCK);
    await data.handle.close();
  });

  it('is found on a device that was enlarged, and is not taken for a pool’s without a label', async () => {
    const file = await make(4);
    await truncate(file, 20 * BLOCK);
    assert.equal((await isPoolOf(file, 4)).labelAt, 4 * BLOCK);
    const bare = scratch.current.at('bare');
    await writeFile(bare, new Uint8Array(8 * BLOCK));
    await assert.rejects(openPoolData(bare, { ...POOL, chunks: 4 }), { code: 'damaged' });
  });
});
