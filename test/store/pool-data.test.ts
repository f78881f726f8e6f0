import assert from 'node:assert/strict';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { FIRST_LABEL_AT, LABEL_BYTES, MARGIN, packDataLabel } from '../../src/format/data-label.js';
import { openDataFile } from '../../src/store/data-file.js';
import { writeLabels } from '../../src/store/data-labels.js';
import { GrowingData } from '../../src/store/grow-data.js';
import { openPoolData, type PoolData } from '../../src/store/pool-data.js';
import { useScratch } from '../support/mounts.js';

const BLOCK = 64 * 1024;
const CHUNKS = 4;
const POOL = { uuid: 'pool', blockSize: BLOCK, chunks: CHUNKS };
const SIZE = 2 * MARGIN + CHUNKS * BLOCK;

describe('the two labels of data', () => {
  const scratch = useScratch();
  let count = 0;

  async function make(): Promise<string> {
    const file = scratch.current.at(`data${count++}`);
    await writeFile(file, '');
    await truncate(file, SIZE);
    const data = await openDataFile(file);
    await writeLabels(data, { ...POOL, preallocated: false, start: MARGIN, maker: '' });
    await data.handle.close();
    return file;
  }

  async function put(file: string, at: number, bytes: Uint8Array): Promise<void> {
    const handle = await open(file, 'r+');
    await handle.write(bytes, 0, bytes.length, at);
    await handle.close();
  }

  async function opened(file: string, chunks = CHUNKS): Promise<PoolData> {
    const data = await openPoolData(file, { ...POOL, chunks });
    await data.handle.close();
    return data;
  }

  it('stand in margins of their own', async () => {
    const file = await make();
    const { label, labelAt, mended } = await opened(file);
    assert.deepEqual([label.start, labelAt, mended], [MARGIN, SIZE - LABEL_BYTES, []]);
    const bytes = await readFile(file);
    assert.match(bytes.subarray(0, 64).toString('latin1'), /^thinfuse pool data\npool\n/);
    const nothing = bytes.subarray(FIRST_LABEL_AT + LABEL_BYTES, SIZE - LABEL_BYTES);
    assert.ok(nothing.every((byte) => byte === 0));
  });

  for (const [where, at, length] of [
    ['start', 0, MARGIN],
    ['end', SIZE - MARGIN, MARGIN],
  ] as const)
    it(`are enough one by one: a wiped ${where} is said and mended`, async () => {
      const file = await make();
      const before = await readFile(file);
      await put(file, at, new Uint8Array(length).fill(0xee));
      const { label, mended } = await opened(file);
      assert.deepEqual([label.uuid, label.start, mended.length], ['pool', MARGIN, 1]);
      assert.match(mended[0] ?? '', new RegExp(`label at the ${where} of .* was gone`));
      assert.deepEqual((await opened(file)).mended, []);
      const after = await readFile(file);
      for (const place of [FIRST_LABEL_AT, SIZE - LABEL_BYTES])
        assert.ok(
          before.subarray(place, place + LABEL_BYTES).equals(after.subarray(place, place + LABEL_BYTES)),
        );
    });

  it('are refused where both are gone, or are of two pools', async () => {
    const file = await make();
    const other = { ...POOL, uuid: 'other', preallocated: false, start: MARGIN, last: 0, maker: '' };
    await put(file, FIRST_LABEL_AT, packDataLabel(other));
    await assert.rejects(opened(file), { code: 'damaged', message: /start says other, its end pool/ });
    await put(file, SIZE - LABEL_BYTES, packDataLabel(other));
    await assert.rejects(opened(file), { code: 'damaged', message: /belongs to the pool other/ });
    await put(file, 0, new Uint8Array(MARGIN));
    await put(file, SIZE - MARGIN, new Uint8Array(MARGIN));
    await assert.rejects(opened(file), { code: 'damaged', message: /does not carry a pool's label/ });
  });

  it('are found by either size while the data grows, and leave zeroes where chunks come', async () => {
    const file = await make();
    const data = await openPoolData(file, POOL);
    const growing = new GrowingData(file, data);
    const settle = await growing.grow(CHUNKS + 1);
    await opened(file);
    assert.deepEqual((await opened(file, CHUNKS + 1)).mended, []);
    await settle();
    await (
      await growing.grow(CHUNKS + 40)
    )();
    assert.deepEqual((await opened(file, CHUNKS + 40)).mended, []);
    await data.handle.close();
    const bytes = await readFile(file);
    assert.equal(bytes.length, 2 * MARGIN + (CHUNKS + 40) * BLOCK);
    assert.ok(bytes.subarray(FIRST_LABEL_AT + LABEL_BYTES, -LABEL_BYTES).every((byte) => byte === 0));
  });

  it('are found where the device was enlarged, wherever that one ended before', async () => {
    const file = await make();
    await truncate(file, 40 * MARGIN);
    const { labelAt, mended } = await opened(file);
    assert.deepEqual([labelAt, mended], [SIZE - LABEL_BYTES, []]);
    await put(file, 0, new Uint8Array(MARGIN));
    assert.equal((await opened(file)).labelAt, SIZE - LABEL_BYTES);
  });

  it('of before stands at the end only, whatever a device has in its first chunk', async () => {
    const file = scratch.current.at('before');
    await writeFile(file, '');
    await truncate(file, CHUNKS * BLOCK + LABEL_BYTES);
    const data = await openDataFile(file);
    await writeLabels(data, { ...POOL, preallocated: false, start: 0, maker: '' });
    await data.handle.close();
    const inner = { ...POOL, uuid: 'inner', preallocated: false, start: MARGIN, last: 2 * MARGIN, maker: '' };
    await put(file, FIRST_LABEL_AT, packDataLabel(inner));
    const before = await readFile(file);
    assert.deepEqual([(await opened(file)).label.start, (await opened(file)).label.uuid], [0, 'pool']);
    assert.ok(before.equals(await readFile(file)), 'opening writes nothing');
  });
});
