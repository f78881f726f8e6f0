import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { changedRanges } from '../../src/pool/changed-ranges.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const COPY = 'copy' as DeviceName;

describe('changedRanges', () => {
  it('tells where bytes may differ, what only one side has included', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const write = async (name: DeviceName, block: number): Promise<void> =>
      (await pool.activate(name)).write(block * BLOCK, new Uint8Array(BLOCK).fill(block + 1));
    for (const block of [0, 1, 2, 3, 4, 5]) await write(BASE_NAME, block);
    await pool.createSnapshot({ name: COPY, origin: BASE_NAME, kind: 'snapshot' });
    for (const block of [1, 2, 9]) await write(COPY, block);
    await (await pool.activate(COPY)).discard(3 * BLOCK, BLOCK);
    const metadata = await pool.tools.freeze();
    // What comes later is not in it.
    await write(COPY, 5);
    const ranges = await changedRanges(metadata, BASE_NAME, COPY);
    assert.deepEqual(
      ranges.map(({ begin, end }) => [begin / BLOCK, end / BLOCK]),
      [
        [1, 4],
        [9, 10],
      ],
    );
    assert.deepEqual(await changedRanges(metadata, COPY, COPY), []);
    await assert.rejects(changedRanges(metadata, COPY, 'gone' as DeviceName), { code: 'not-found' });
    await metadata.close();
    await pool.settle();
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });
});
