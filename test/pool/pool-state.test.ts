import assert from 'node:assert/strict';
import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import type { PoolMode } from '../../src/pool/info.js';
import { openStored } from '../../src/pool/open-stored.js';
import { PoolState } from '../../src/pool/pool-state.js';
import { Traffic } from '../../src/threads/traffic.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

describe('what the parts of a pool share', () => {
  it('turns read-only for good, and is told of once', async () => {
    const modes: PoolMode[] = [];
    const events = { onModeChanged: (mode: PoolMode) => modes.push(mode) };
    const state = await makePoolState(new MemoryStore(), { open: { events } });
    for (const mode of ['rw', 'out_of_data_space', 'rw', 'ro', 'rw', 'out_of_data_space'] as const)
      state.setMode(mode, 'told');
    assert.deepEqual(modes, ['out_of_data_space', 'rw', 'ro']);
    assert.throws(() => state.requireWritable(), { code: 'read-only' });
    await closeState(state);
  });

  it('takes no change while it is being closed', async () => {
    const state = await makePoolState(new MemoryStore());
    state.requireWritable();
    state.isClosing = true;
    assert.throws(() => state.requireWritable(), { code: 'closed' });
    await closeState(state);
  });

  it('remembers damage in the store, and forgets it when a check has found none', async () => {
    const state = await makePoolState(new MemoryStore());
    state.foundDamage(new ThinError('damaged', 'node 3 is damaged'));
    state.foundDamage(new ThinError('damaged', 'node 4 is damaged'));
    await state.committer.idle();
    assert.ok(readSuperblock(state.store).needsCheck);
    const again = new PoolState(state.store, await openStored(state.store, {}), { zeroedFrom: undefined });
    assert.equal(again.mode, 'ro');
    await state.clearNeedsCheck();
    assert.equal(state.mode, 'rw');
    assert.ok(!readSuperblock(state.store).needsCheck);
    await closeState(state);
  });

  it('runs what shares all devices when nothing is in flight and all is in the trees', async () => {
    const state = await makePoolState(new MemoryStore());
    const io = activate(state, BASE_NAME);
    await io.write(0, new Uint8Array(3 * BLOCK).fill(1));
    assert.equal(state.pendingMappings, 3);
    const mapped = await state.sharing(() => state.metadata.devices.find(BASE_NAME)!.mapped);
    assert.equal(mapped, 3);
    assert.equal(state.pendingMappings, 0);
    await closeState(state);
  });

  it('keeps a failed sync from those who only read a device', async () => {
    class FailingStore extends MemoryStore {
      fails = false;
      protected override beforeApply(): void {
        if (this.fails) throw new ThinError('io', 'no more');
      }
    }
    const store = new FailingStore();
    const state = await makePoolState(store);
    const io = activate(state, BASE_NAME);
    await io.read(0, Buffer.alloc(BLOCK));
    store.fails = true;
    state.metadata.changeSuperblock({});
    await state.flushOf(io);
    const traffic = new Traffic();
    traffic.note(0, 'write', 512, 1, true);
    await assert.rejects(state.flushOf({ traffic }), { code: 'io' });
    await store.close();
  });
});
