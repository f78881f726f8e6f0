import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey } from '../../src/format/keys.js';
import { openPool } from '../../src/pool/pool.js';
import { CrashStore } from '../support/crash-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

describe('a pool that meets damage', () => {
  it('turns read-only, says that it needs a check, and remembers', async () => {
    const store = new CrashStore();
    const first = await makeSmallPool(store);
    await (await first.activate(BASE_NAME)).write(0, new Uint8Array(2 * BLOCK).fill(1));
    await first.close();
    const damaged = new CrashStore(store.contents);
    damaged.flipBit(chunkKey(chunkId(0)), 99);
    const pool = await openPool(damaged, { commitInterval: 0 });
    const base = await pool.activate(BASE_NAME);
    await assert.rejects(async () => base.read(0, new Uint8Array(512)), { code: 'damaged' });
    assert.throws(() => base.write(BLOCK, new Uint8Array(512)), { code: 'read-only' });
    await base.read(BLOCK, new Uint8Array(512));
    assert.equal(pool.info().mode, 'ro');
    await pool.commit();
    await pool.close();
    const again = await openPool(new CrashStore(damaged.contents), { commitInterval: 0 });
    assert.equal(again.info().needsCheck, true);
    assert.equal(again.info().mode, 'ro');
    // The metadata is sound: only the chunk is not, and reading it says so again.
    assert.deepEqual((await again.check()).findings, []);
    assert.equal(again.info().mode, 'rw');
    await again.close();
  });
});
