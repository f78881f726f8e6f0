import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { openPool } from '../../src/pool/pool.js';
import { eventually } from '../support/eventually.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

describe('settings of a pool that is in use', () => {
  it('hold at once: it grows, and takes new devices, or none', async () => {
    const store = new MemoryStore();
    const pool = await makeSmallPool(store, { blocks: 64 });
    const file = await pool.activate(BASE_NAME);
    await file.write(0, Buffer.alloc(12 * BLOCK, 1));
    await pool.commit();
    const web = { name: 'web' as DeviceName, origin: BASE_NAME, kind: 'snapshot' } as const;
    await pool.setOptions({ minFreeSpace: 90 });
    await assert.rejects(pool.createSnapshot(web), { code: 'no-space' });
    await pool.setOptions({ minFreeSpace: 10 });
    await pool.createSnapshot(web);
    await pool.grow(BASE_NAME, 40 * BLOCK);
    await file.write(0, Buffer.alloc(40 * BLOCK, 2));
    await pool.commit();
    const { dataTotal } = pool.info();
    await pool.setOptions({ autoextendThreshold: 50, autoextendPercent: 100 });
    await eventually('the pool has grown', () => pool.info().dataTotal >= 2 * dataTotal);
    await pool.close();
    const again = await openPool(store.reopen());
    assert.equal(again.info().options.autoextendThreshold, 50);
    assert.equal(again.info().options.minFreeSpace, 10);
    await again.close();
  });
});
