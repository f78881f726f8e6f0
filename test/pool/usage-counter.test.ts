import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

describe('what a device calls its own', () => {
  it('follows a relative that breaks sharing, with nothing asked but a flush', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const name = 'kept' as DeviceName;
    const base = await pool.activate(BASE_NAME);
    await base.write(0, new Uint8Array(2 * BLOCK).fill(1));
    await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
    await base.write(0, new Uint8Array(BLOCK).fill(2));
    assert.equal(pool.device(BASE_NAME)?.mapped, 2 * BLOCK);
    await base.flush();
    while (pool.device(name)?.exclusive !== BLOCK) await sleep(20);
    assert.equal(pool.device(BASE_NAME)?.exclusive, BLOCK);
    assert.equal(pool.device(name)?.shared, BLOCK);
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });
});
