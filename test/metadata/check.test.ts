import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import { unpackDeviceRecord } from '../../src/format/device-record.js';
import { chunkId, deviceId, nodeId, type DeviceName } from '../../src/format/ids.js';
import { chunkKey, chunkMapKey, deviceKey, nodeKey } from '../../src/format/keys.js';
import { unseal } from '../../src/format/seal.js';
import { deleteAll, putDevice, putSuperblock, repairOperations } from '../../src/metadata/auto-repair.js';
import { checkPool, runCheck } from '../../src/metadata/check.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

describe('a whole check', () => {
  let store: MemoryStore;

  beforeEach(async () => {
    const first = new MemoryStore();
    const state = await makePoolState(first);
    const io = activate(state, BASE_NAME);
    await io.write(0, new Uint8Array(3 * BLOCK).fill(1));
    await state.commit();
    await state.committer.applied(io, () => {
      state.metadata.createSnapshot(deviceId(1), {
        name: 'web' as DeviceName,
        kind: 'snapshot',
        size: 12 * BLOCK,
        createdAt: 0,
        filesystem: 'xfs',
      });
      io.forgetMappings();
    });
    await io.write(0, new Uint8Array(BLOCK).fill(2));
    await state.commit();
    store = new MemoryStore();
    for await (const [key, value] of first.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) }))
      await store.batch([{ type: 'put', key, value }], { sync: true });
    await closeState(state);
  });

  async function paths(): Promise<string[]> {
    return (await checkPool(store)).findings.map(({ path }) => path);
  }

  async function remove(key: Uint8Array): Promise<void> {
    await store.batch([{ type: 'del', key }], { sync: true });
  }

  it('finds nothing in a pool that is sound, and counts it', async () => {
    const result = await checkPool(store);
    // Three of the base, and the one that broke sharing.
    assert.deepEqual({ ...result, nodes: 0 }, { findings: [], devices: 2, nodes: 0, chunks: 4 });
  });

  it('finds each kind of value that is lost', async () => {
    for (const [key, path] of [
      [chunkKey(chunkId(0)), /^chunk 0$/],
      [nodeKey(nodeId(0)), /node 0/],
      [chunkMapKey(0), /chunk/],
      [deviceKey(deviceId(2)), /superblock/],
    ] as const) {
      const value = store.getSync(key)!;
      await remove(key);
      assert.ok(
        (await paths()).some((found) => path.test(found)),
        String(path),
      );
      await store.batch([{ type: 'put', key, value }], { sync: true });
    }
    assert.deepEqual(await paths(), []);
  });

  it('looks no further than it is told to', async () => {
    await remove(nodeKey(nodeId(0)));
    assert.deepEqual((await checkPool(store, { depth: 'superblock' })).findings, []);
    assert.deepEqual((await checkPool(store, { depth: 'records' })).findings, []);
    assert.ok((await checkPool(store)).findings.length > 0);
  });

  describe('and the repair of what it found', () => {
    it('makes counts right, and removes what nothing refers to', async () => {
      const record = (await runCheck(store)).miscounted;
      assert.deepEqual(record, []);
      const superblock = readSuperblock(store);
      const stray = chunkKey(chunkId(77));
      const value = store.getSync(chunkKey(chunkId(0)))!;
      await store.batch(
        [
          ...(await deleteAll(store, ['chunk-map-sheet', 'node-map-sheet'])),
          { type: 'put', key: stray, value },
          putSuperblock({ ...superblock, needsCheck: true }),
        ],
        { sync: true },
      );
      assert.ok((await paths()).length > 0);
      const operations = await repairOperations(store, await runCheck(store));
      await store.batch(operations!, { sync: true });
      assert.deepEqual(await paths(), []);
      assert.equal(store.getSync(stray), undefined);
      assert.ok(!readSuperblock(store).needsCheck);
    });

    it('makes a device’s count of blocks right', async () => {
      const { miscounted } = await runCheck(store);
      assert.equal(miscounted.length, 0);

      const id = deviceId(2);
      const body = unseal('device', id, store.getSync(deviceKey(id))!, 'device 2');
      await store.batch([putDevice({ ...unpackDeviceRecord(id, body, 'device 2'), mapped: 9 })], {
        sync: true,
      });
      const check = await runCheck(store);
      assert.deepEqual(
        check.miscounted.map(({ mapped }) => mapped),
        [3],
      );
      await store.batch((await repairOperations(store, check))!, { sync: true });
      assert.deepEqual(await paths(), []);
    });

    it('touches nothing where something is lost', async () => {
      await remove(nodeKey(nodeId(0)));
      assert.equal(await repairOperations(store, await runCheck(store)), undefined);
    });
  });
});
