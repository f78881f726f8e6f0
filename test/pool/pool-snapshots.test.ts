import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

const web = 'web' as DeviceName;
const other = 'other' as DeviceName;

describe('snapshots in the open transaction', () => {
  let state: PoolState;
  let snapshots: PoolSnapshots;

  beforeEach(async () => {
    state = await makePoolState(new MemoryStore());
    snapshots = new PoolSnapshots(state);
  });

  afterEach(async () => {
    await state.reclaimer.settle();
    await closeState(state);
  });

  async function firstByte(name: DeviceName): Promise<number> {
    const bytes = Buffer.alloc(1);
    await activate(state, name).read(0, bytes);
    return bytes[0]!;
  }

  function names(): string[] {
    return state.metadata.devices.all().map(({ name }) => name);
  }

  it('have what was written to an active origin before, and not what is written after', async () => {
    const io = activate(state, BASE_NAME);
    await io.write(0, new Uint8Array(BLOCK).fill(1));
    await snapshots.take(BASE_NAME, [{ name: web, kind: 'snapshot' }]);
    await io.write(0, new Uint8Array(BLOCK).fill(2));
    assert.equal(await firstByte(web), 1);
    assert.equal(await firstByte(BASE_NAME), 2);
  });

  it('of one moment are all made, or none', async () => {
    const requests = [web, other, web].map((name) => ({ name, kind: 'snapshot' as const }));
    await assert.rejects(snapshots.take(BASE_NAME, requests), { code: 'exists' });
    assert.deepEqual(names(), [BASE_NAME]);
    await snapshots.take(BASE_NAME, requests.slice(0, 2));
    assert.deepEqual(names(), [BASE_NAME, web, other]);
  });

  it('are not smaller than their origin, nor larger than their quota', async () => {
    const { size } = state.metadata.devices.find(BASE_NAME)!;
    await activate(state, BASE_NAME).write(0, new Uint8Array(2 * BLOCK).fill(1));
    for (const wrong of [{ size: size - 512 }, { size: size + 1 }, { quota: BLOCK }])
      await assert.rejects(snapshots.take(BASE_NAME, [{ name: web, kind: 'snapshot', ...wrong }]), {
        code: 'invalid-argument',
      });
    await assert.rejects(snapshots.take(other, [{ name: web, kind: 'snapshot' }]), { code: 'not-found' });
    assert.deepEqual(names(), [BASE_NAME]);
  });

  it('take the place of a device, with its name, kind and labels, at the larger size', async () => {
    const { size } = state.metadata.devices.find(BASE_NAME)!;
    await activate(state, BASE_NAME).write(0, new Uint8Array(BLOCK).fill(1));
    const labels = { team: 'red' };
    await snapshots.take(BASE_NAME, [{ name: web, kind: 'container', size: 2 * size, labels }]);
    await activate(state, web).write(0, new Uint8Array(BLOCK).fill(2));
    await state.commit();
    const before = state.metadata.devices.find(web)!;
    state.active.delete(before.id);
    const made = await snapshots.replace(web, BASE_NAME);
    assert.deepEqual([made.name, made.kind, made.size], [web, 'container', 2 * size]);
    assert.deepEqual({ ...made.labels }, labels);
    assert.notEqual(made.id, before.id);
    assert.equal(await firstByte(web), 1);
    assert.deepEqual(names(), [BASE_NAME, web]);
  });

  it('never replace the base device', async () => {
    await snapshots.take(BASE_NAME, [{ name: web, kind: 'snapshot' }]);
    await assert.rejects(snapshots.replace(BASE_NAME, web), { code: 'invalid-argument' });
    assert.deepEqual(names(), [BASE_NAME, web]);
  });
});
