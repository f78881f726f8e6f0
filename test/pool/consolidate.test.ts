import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { consolidate } from '../../src/pool/consolidate.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { MemoryStore } from '../support/memory-store.js';
import { ScratchData } from '../support/scratch-data.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

const kept = 'kept' as DeviceName;
const BLOCKS = 3;

/** The base has blocks of ones with a page of twos in each, which a snapshot made partial. */
async function makePartial(state: PoolState): Promise<void> {
  const io = activate(state, BASE_NAME);
  await io.write(0, new Uint8Array(BLOCKS * BLOCK).fill(1));
  await state.commit();
  await new PoolSnapshots(state).take(BASE_NAME, [{ name: kept, kind: 'snapshot' }]);
  for (let block = 0; block < BLOCKS; block++)
    await io.write(block * BLOCK + 4096, new Uint8Array(4096).fill(2));
  await state.commit();
  assert.equal([...state.metadata.backings.all()].length, BLOCKS);
}

async function content(state: PoolState): Promise<Buffer> {
  const bytes = Buffer.alloc(BLOCKS * BLOCK);
  await activate(state, BASE_NAME).read(0, bytes);
  return bytes;
}

async function removeSnapshot(state: PoolState): Promise<void> {
  state.metadata.removeDevice(state.metadata.devices.find(kept)!.id);
  while (state.metadata.deleteStep(32)) await state.commit();
  await state.commit();
}

for (const kind of ['leveldb', 'direct'] as const)
  describe(`completing partial chunks (${kind})`, () => {
    let data: ScratchData | undefined;
    let state: PoolState;

    beforeEach(async () => {
      data = kind === 'direct' ? await ScratchData.make(64 * BLOCK) : undefined;
      const open = data === undefined ? {} : { data: await data.open() };
      state = await makePoolState(new MemoryStore(), { kind, blocks: 64, open });
      await makePartial(state);
    });

    afterEach(() => data?.remove());

    it('makes those whole that alone use their backing, which is freed', async () => {
      await removeSnapshot(state);
      const before = await content(state);
      await consolidate(state, () => false);
      await state.plane.recycled();
      assert.deepEqual([...state.metadata.backings.all()], []);
      assert.equal(state.metadata.chunks.used - state.plane.free.count, BLOCKS);
      assert.ok(before.equals(await content(state)));
      await closeState(state);
    });

    it('leaves those alone whose backing a device maps', async () => {
      await consolidate(state, () => false);
      assert.equal([...state.metadata.backings.all()].length, BLOCKS);
      await closeState(state);
    });

    it('ends when it is told to', async () => {
      await removeSnapshot(state);
      let asked = 0;
      await consolidate(state, () => ++asked > 1);
      await state.commit();
      assert.equal([...state.metadata.backings.all()].length, BLOCKS - 1);
      await closeState(state);
    });
  });
