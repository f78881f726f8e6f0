import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { mappingRuns, type MappingRun } from '../../src/metadata/mapping-runs.js';
import { deviceIn, type MetadataView } from '../../src/metadata/metadata-view.js';
import { DEVICES_PER_STEP } from '../../src/pool/limits.js';
import { OpenPoolTools } from '../../src/pool/pool-tools.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { metadataSnapshotKey } from '../../src/format/keys.js';
import { seal } from '../../src/format/seal.js';
import { checkPool } from '../../src/metadata/check.js';
import type { BatchOptions, KvOperation } from '../../src/store/key-value.js';
import { MemoryStore } from '../support/memory-store.js';
import { packOldSnapshot } from '../support/old-snapshot.js';
import { BLOCK, closeState, makePoolState, makeSmallPool, openPoolState } from '../support/small-pool.js';

const COPY = 'copy' as DeviceName;

async function runs(view: MetadataView, device: string): Promise<MappingRun[]> {
  const found: MappingRun[] = [];
  for await (const run of mappingRuns(view.nodes, deviceIn(view, device).root)) found.push(run);
  return found;
}

async function frozen<T>(
  pool: ThinPool,
  snapshot: number | undefined,
  look: (view: MetadataView) => Promise<T>,
): Promise<T> {
  const metadata = await pool.tools.freeze();
  try {
    return await look(await metadata.view(snapshot));
  } finally {
    await metadata.close();
  }
}

async function write(pool: ThinPool, name: DeviceName, block: number, value: number): Promise<void> {
  await (await pool.activate(name)).write(block * BLOCK, new Uint8Array(BLOCK).fill(value));
}

async function assertSound(pool: ThinPool): Promise<void> {
  await pool.settle();
  assert.deepEqual((await pool.check()).findings, []);
}

/** The most that one batch has written. */
class MeasuredStore extends MemoryStore {
  value = 0;
  bytes = 0;
  batches = 0;

  override async batch(operations: readonly KvOperation[], options: BatchOptions): Promise<void> {
    const sizes = operations.map((each) => (each.type === 'put' ? each.value.length : 0));
    this.value = Math.max(this.value, ...sizes);
    this.bytes = Math.max(
      this.bytes,
      sizes.reduce((sum, size) => sum + size, 0),
    );
    this.batches++;
    await super.batch(operations, options);
  }

  forget(): void {
    this.value = this.bytes = this.batches = 0;
  }
}

describe('metadata snapshots', () => {
  it('keep the roots and the data of their moment, as many as are reserved', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    for (const block of [0, 1, 2]) await write(pool, BASE_NAME, block, 1);
    const first = await pool.tools.reserve();
    await write(pool, BASE_NAME, 1, 2);
    await pool.createSnapshot({ name: COPY, origin: BASE_NAME, kind: 'snapshot' });
    const second = await pool.tools.reserve();
    await write(pool, COPY, 7, 3);
    await (await pool.activate(BASE_NAME)).discard(0, BLOCK);
    assert.deepEqual(
      pool.tools.reserved().map(({ id, devices }) => [id, devices]),
      [
        [1, 1],
        [2, 2],
      ],
    );
    assert.equal(pool.info().heldRoot, 2);
    assert.deepEqual(
      await frozen(pool, first.id, async (view) => [view.devices.length, await runs(view, 'base')]),
      [1, [{ begin: 0, chunk: 0, length: 3, time: 0 }]],
    );
    assert.deepEqual(
      (await frozen(pool, second.id, (view) => runs(view, 'base'))).map(({ begin, length }) => [
        begin,
        length,
      ]),
      [
        [0, 1],
        [1, 1],
        [2, 1],
      ],
    );
    assert.equal((await frozen(pool, undefined, (view) => runs(view, 'base')))[0]?.begin, 1);
    await assert.rejects(
      frozen(pool, 9, (view) => runs(view, 'base')),
      { code: 'not-found' },
    );
    await assertSound(pool);
    await pool.close();
  });

  it('outlive a restart, and give everything back when they are released', async () => {
    const store = new MemoryStore();
    const pool = await makeSmallPool(store);
    for (const block of [0, 1, 2]) await write(pool, BASE_NAME, block, 1);
    await pool.tools.reserve();
    await write(pool, BASE_NAME, 0, 2);
    await pool.createSnapshot({ name: COPY, origin: BASE_NAME, kind: 'snapshot' });
    await pool.tools.reserve();
    await pool.deactivate(COPY);
    await pool.remove(COPY);
    await assertSound(pool);
    await pool.close();

    const again = await openPool(store.reopen(), { commitInterval: 0 });
    assert.equal(again.info().heldRoot, 2);
    assert.equal(again.info().dataUsed, 4 * BLOCK);
    await assertSound(again);
    await again.tools.release(1);
    await assertSound(again);
    assert.equal(again.info().dataUsed, 3 * BLOCK);
    await again.tools.release(2);
    await assert.rejects(again.tools.release(2), { code: 'not-found' });
    await assertSound(again);
    assert.deepEqual(again.tools.reserved(), []);
    assert.equal(again.info().heldRoot, undefined);
    assert.equal(again.device(BASE_NAME)?.exclusive, 3 * BLOCK);
    await again.close();
  });

  it('compare and swap the transaction id', async () => {
    const store = new MemoryStore();
    const pool = await makeSmallPool(store);
    const current = pool.info().transactionId;
    await assert.rejects(pool.tools.setTransactionId(current + 1, 9), { code: 'invalid-argument' });
    await pool.tools.setTransactionId(current, 41);
    await assertSound(pool);
    await pool.close();
    const again = await openPool(store.reopen(), { commitInterval: 0 });
    assert.equal(again.info().transactionId, 41);
    await again.close();
  });

  it('are reserved and released in steps that do not grow with the number of devices', async () => {
    const store = new MeasuredStore();
    const state = await makePoolState(store, { open: { verify: false } });
    const { metadata } = state;
    const tools = new OpenPoolTools(state, {});
    const origin = metadata.devices.find(BASE_NAME)!.id;
    const devices = 10_000;
    const shape = { kind: 'snapshot', size: 12 * BLOCK, createdAt: 0, filesystem: 'xfs' } as const;
    for (let n = 1; n < devices; n++)
      metadata.createSnapshot(origin, { ...shape, name: `device-${n}` as DeviceName });
    await state.commit();

    let counted = 0;
    let most = 0;
    for (const change of ['increment', 'decrement'] as const) {
      const real = metadata.nodes[change].bind(metadata.nodes);
      metadata.nodes[change] = (entry) => {
        if (counted++ === 0) setImmediate(() => (counted = 0));
        most = Math.max(most, counted);
        return real(entry);
      };
    }
    metadata.devices.all = () => assert.fail('nothing goes through all devices at once');

    store.forget();
    const { id, devices: held } = await tools.reserve();
    assert.equal(held, devices);
    assert(most <= 2 * DEVICES_PER_STEP, `${most} roots in one step`);
    assert(store.value < 128 * 1024, `a value of ${store.value} bytes`);
    assert(store.bytes < 2 * 2 ** 20, `a batch of ${store.bytes} bytes`);

    most = 0;
    store.forget();
    await tools.release(id);
    await state.reclaimer.settle();
    assert(most <= 2 * DEVICES_PER_STEP, `${most} roots in one step`);
    assert(store.bytes < 128 * 1024, `a batch of ${store.bytes} bytes`);
    await closeState(state);
  }).timeout(120_000);

  it('of version 1 are read, and give everything back', async () => {
    const store = new MemoryStore();
    // Between a commit and the next batch, the roots count more than there is.
    const state = await makePoolState(store, { open: { verify: false } });
    const { metadata } = state;
    const { id: origin } = metadata.devices.find(BASE_NAME)!;
    const shape = { kind: 'snapshot', size: 12 * BLOCK, createdAt: 0, filesystem: 'xfs' } as const;
    for (let n = 0; n < 600; n++)
      metadata.createSnapshot(origin, { ...shape, name: `device-${n}` as DeviceName });
    const devices = metadata.devices.all();
    for (const { root } of devices) metadata.nodes.increment(root);
    await state.commit();
    const body = packOldSnapshot(77, metadata.superblock, devices);
    const value = seal('metadata-snapshot', 4, body, 1);
    await store.batch([{ type: 'put', key: metadataSnapshotKey(4), value }], { sync: true });
    await state.store.close();

    const again = await openPoolState(store.reopen(), { verify: false });
    const tools = new OpenPoolTools(again, {});
    assert.deepEqual((await checkPool(again.store)).findings, []);
    assert.deepEqual(
      tools.reserved().map(({ id, createdAt, devices: held }) => [id, createdAt, held]),
      [[4, 77, 601]],
    );
    const frozenAgain = await tools.freeze();
    assert.deepEqual((await frozenAgain.view('newest')).devices, devices);
    await frozenAgain.close();
    const { id } = await tools.reserve();
    assert.equal(id, 5);
    await tools.release(4);
    await again.reclaimer.settle();
    assert.deepEqual((await checkPool(again.store)).findings, []);
    await tools.release(5);
    await again.reclaimer.settle();
    assert.equal(again.metadata.owesSpace, false);
    await closeState(again);
  });
});
