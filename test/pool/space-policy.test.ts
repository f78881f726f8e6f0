import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { HostDisk } from '../../src/pool/host-guard.js';
import type { PoolMode, PoolOptions } from '../../src/pool/info.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { SpacePolicy } from '../../src/pool/space-policy.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

const BLOCKS = 16;

describe('what a pool does when its space runs out', () => {
  let modes: PoolMode[];

  beforeEach(() => {
    modes = [];
  });

  async function make(options: Partial<PoolOptions> = {}): Promise<PoolState> {
    const events = { onModeChanged: (mode: PoolMode) => modes.push(mode) };
    return makePoolState(new MemoryStore(), {
      blocks: BLOCKS,
      options: { baseSize: 2 * BLOCKS * BLOCK, ...options },
      open: { events },
    });
  }

  async function fill(state: PoolState, blocks: number): Promise<void> {
    await activate(state, BASE_NAME).write(0, new Uint8Array(blocks * BLOCK).fill(1));
  }

  it('makes no device below min_free_space, of the data or of the metadata', async () => {
    const state = await make({ minFreeSpace: 50 });
    const policy = new SpacePolicy(state);
    policy.requireFreeSpace();
    await fill(state, BLOCKS / 2);
    policy.requireFreeSpace();
    await activate(state, BASE_NAME).write(BLOCKS * BLOCK, new Uint8Array(BLOCK).fill(1));
    assert.throws(() => policy.requireFreeSpace(), { code: 'no-space', message: /7 free data blocks.* 8 / });
    await closeState(state);
  });

  it('answers ENOSPC at once where writers are not to wait, and is out of space until there is room', async () => {
    const state = await make();
    await fill(state, BLOCKS);
    await assert.rejects(state.waitForSpace('web'), { code: 'no-space', message: /web/ });
    assert.equal(state.mode, 'out_of_data_space');
    await activate(state, BASE_NAME).discard(0, BLOCK);
    await state.waitForSpace('web');
    state.space.noteRoom();
    assert.deepEqual(modes, ['out_of_data_space', 'rw']);
    await closeState(state);
  });

  it('lets writers wait for room where they are to, and wakes them when it comes', async () => {
    const state = await make({ errorIfNoSpace: false, noSpaceTimeout: 0 });
    await fill(state, BLOCKS);
    const waiting = state.waitForSpace('web');
    while (state.mode !== 'out_of_data_space') await new Promise((resolve) => setImmediate(resolve));
    assert.equal(state.space.waitedEnough, false);
    await activate(state, BASE_NAME).discard(0, BLOCK);
    await state.commit();
    await waiting;
    assert.equal(state.mode, 'rw');
    await closeState(state);
  });

  it('lets nobody wait who comes when the first has waited its time', async () => {
    const state = await make({ errorIfNoSpace: false, noSpaceTimeout: 0.001 });
    await fill(state, BLOCKS);
    for (let writer = 0; writer < 2; writer++)
      await assert.rejects(state.waitForSpace('web'), { code: 'no-space' });
    assert.equal(state.space.waitedEnough, true);
    await closeState(state);
  });

  it('ends the wait of writers when the pool is closed', async () => {
    const state = await make({ errorIfNoSpace: false, noSpaceTimeout: 0 });
    await fill(state, BLOCKS);
    const waiting = assert.rejects(state.waitForSpace('web'), { code: 'no-space' });
    while (state.mode !== 'out_of_data_space') await new Promise((resolve) => setImmediate(resolve));
    state.isClosing = true;
    await waiting;
    await closeState(state);
  });

  it('refuses a device what its quota has no room for, and lets its threads write only well below', async () => {
    const state = await make();
    const policy = new SpacePolicy(state);
    const io = activate(state, BASE_NAME);
    assert.ok(policy.threadsMayWrite(io));
    state.metadata.devices.change(io.device, { quota: 3 * BLOCK });
    assert.ok(!policy.threadsMayWrite(io));
    assert.equal(policy.admit(io, 0, 3 * BLOCK), undefined);
    assert.throws(() => policy.admit(io, 0, 3 * BLOCK + 1), { code: 'no-space' });
    await fill(state, 3);
    // What is mapped already takes nothing more.
    assert.equal(policy.admit(io, 0, 3 * BLOCK), undefined);
    assert.throws(() => policy.admit(io, 3 * BLOCK, 1), { code: 'no-space', message: /quota/ });
    await closeState(state);
  });

  it('hands out nothing while the disk below is short, and refuses a leveldb pool all writes', async () => {
    let free = 2 ** 40;
    const hostDisk: HostDisk = {
      total: 2 ** 41,
      free: () => free,
      holdReserve: () => Promise.resolve(),
      releaseReserve: () => Promise.resolve(),
    };
    const state = await makePoolState(new MemoryStore(), {
      blocks: BLOCKS,
      open: { hostDisk, hostFloor: 2 ** 30 },
    });
    const io = activate(state, BASE_NAME);
    assert.ok(state.space.mayTake);
    free = 0;
    state.space.check();
    assert.ok(!state.space.mayTake);
    assert.equal(state.mode, 'out_of_data_space');
    await assert.rejects(Promise.resolve(state.space.admit(io, 0, 1)), { code: 'no-space' });
    free = 2 ** 40;
    state.space.check();
    assert.equal(state.mode, 'rw');
    await closeState(state);
  });
});
