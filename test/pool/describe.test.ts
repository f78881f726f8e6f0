import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { describeDevice, describePool } from '../../src/pool/describe.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

const kept = 'kept' as DeviceName;
const STATE = { mode: 'rw', atHand: 0, waitedEnough: false, lacksLog: false } as const;

describe('what a pool says of a device', () => {
  it('parts what it maps into its own and what it shares, before and after a commit', async () => {
    const writes = fc.uniqueArray(fc.nat(11), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(writes, writes, fc.boolean(), async (before, after, isCommitted) => {
        const state = await makePoolState(new MemoryStore());
        const io = activate(state, BASE_NAME);
        const page = new Uint8Array(BLOCK).fill(1);
        for (const block of before) await io.write(block * BLOCK, page);
        await state.commit();
        await new PoolSnapshots(state).take(BASE_NAME, [{ name: kept, kind: 'snapshot' }]);
        for (const block of after) await io.write(block * BLOCK, page);
        if (isCommitted) await state.commit();
        const { metadata } = state;
        const told = describeDevice(metadata, metadata.devices.find(BASE_NAME)!, io);
        assert.equal(told.mapped, new Set([...before, ...after]).size * BLOCK);
        assert.equal(told.mapped, told.exclusive + told.shared);
        // What broke sharing shows in the count with the commit; what was a hole shows at once.
        const fresh = after.filter((block) => isCommitted || !before.includes(block));
        assert.equal(told.exclusive, fresh.length * BLOCK);
        await closeState(state);
      }),
      { numRuns: 25 },
    );
  });

  it('calls all that a device maps its own where it has no relative', async () => {
    const state = await makePoolState(new MemoryStore());
    const io = activate(state, BASE_NAME);
    await io.write(0, new Uint8Array(3 * BLOCK).fill(1));
    const { exclusive, shared } = describeDevice(state.metadata, state.metadata.devices.find(BASE_NAME)!, io);
    assert.deepEqual({ exclusive, shared }, { exclusive: 3 * BLOCK, shared: 0 });
    await closeState(state);
  });

  it('names an origin by the name that it has now, or by its last one', async () => {
    const state = await makePoolState(new MemoryStore());
    const [first] = await new PoolSnapshots(state).take(BASE_NAME, [{ name: kept, kind: 'snapshot' }]);
    const [second] = await new PoolSnapshots(state).take(kept, [
      { name: 'second' as DeviceName, kind: 'snapshot' },
    ]);
    state.metadata.devices.change(first!.id, { name: 'renamed' as DeviceName });
    assert.equal(describeDevice(state.metadata, second!, undefined).originName, 'renamed');
    state.metadata.removeDevice(first!.id);
    assert.equal(describeDevice(state.metadata, second!, undefined).originName, kept);
    await state.reclaimer.settle();
    await closeState(state);
  });
});

describe('what a pool says of itself', () => {
  it('does not count chunks as used that are only at hand', async () => {
    const state = await makePoolState(new MemoryStore());
    const { metadata, options, plane } = state;
    await activate(state, BASE_NAME).write(0, new Uint8Array(2 * BLOCK).fill(1));
    assert.ok(plane.free.count > 0);
    const told = describePool(metadata, { ...STATE, options, atHand: plane.free.count });
    assert.equal(told.dataUsed, 2 * BLOCK);
    assert.equal(told.dataRemote, undefined);
    assert.equal(told.lacks, undefined);
    await closeState(state);
  });

  it('says so where it lacks what its log has', async () => {
    const state = await makePoolState(new MemoryStore());
    const told = describePool(state.metadata, { ...STATE, options: state.options, lacksLog: true });
    assert.match(told.lacks!, /cannot take over its log/);
    await closeState(state);
  });
});
