import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { mappingRuns, type MappingRun } from '../../src/metadata/mapping-runs.js';
import { deviceIn, type MetadataView } from '../../src/metadata/metadata-view.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

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
});
