import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceRecord } from '../../src/format/device-record.js';
import type { DeviceName } from '../../src/format/ids.js';
import { DeviceReads } from '../../src/pool/device-reads.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { FirstReads } from '../../src/threads/first-reads.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

function readsOf(...blocks: readonly number[]): FirstReads {
  const reads = new FirstReads();
  for (const block of blocks) reads.noteRead(block * BLOCK, BLOCK, BLOCK);
  return reads;
}

describe('the first reads of devices', () => {
  let state: PoolState;
  let reads: DeviceReads;

  beforeEach(async () => {
    state = await makePoolState(new MemoryStore());
    reads = new DeviceReads(state);
  });

  afterEach(() => closeState(state));

  async function snapshot(name: string, origin: DeviceName = BASE_NAME, maker = ''): Promise<DeviceRecord> {
    const [made] = await new PoolSnapshots(state).take(origin, [
      { name: name as DeviceName, kind: 'snapshot', maker },
    ]);
    return made!;
  }

  it('are known of what a device descends from, in their order, and not of its relatives', async () => {
    const image = await snapshot('image');
    const web = await snapshot('web', image.name);
    const other = await snapshot('other', image.name);
    reads.leave(web, readsOf(7, 2, 5));
    assert.deepEqual(reads.of(web), [7, 2, 5]);
    assert.deepEqual(reads.of(image), [7, 2, 5]);
    assert.deepEqual(reads.of(other), []);
    // All descend from it.
    assert.deepEqual(reads.of(state.metadata.devices.find(BASE_NAME)!), []);
  });

  it('of a device that is active come first, and those of active descendants last', async () => {
    const image = await snapshot('image');
    const web = await snapshot('web', image.name);
    reads.leave(web, readsOf(1));
    await activate(state, image.name).read(4 * BLOCK, Buffer.alloc(BLOCK));
    await activate(state, web.name).read(9 * BLOCK, Buffer.alloc(BLOCK));
    assert.deepEqual(reads.of(image), [4, 1, 9]);
  });

  it('of a transfer are no start', async () => {
    const image = await snapshot('image');
    const held = await snapshot('held', image.name, 'a process');
    reads.leave(held, readsOf(1));
    await activate(state, held.name).read(9 * BLOCK, Buffer.alloc(BLOCK));
    assert.deepEqual(reads.of(image), []);
  });

  it('are forgotten of the devices that were left longest ago', async () => {
    const made: DeviceRecord[] = [];
    for (let n = 0; n < 300; n++) {
      made.push(await snapshot(`device-${n}`));
      reads.leave(made[n]!, readsOf(n % 12));
    }
    const known = made.filter((record) => reads.of(record).length > 0);
    assert.deepEqual(known, made.slice(-known.length));
    assert.ok(known.length < made.length);
  });
});
