import assert from 'node:assert/strict';
import { type ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { deviceId, virtualBlock, type DeviceName } from '../../src/format/ids.js';
import { deviceKey, chunkMapKey, superblockKey } from '../../src/format/keys.js';
import { putSuperblock } from '../../src/metadata/auto-repair.js';
import {
  newSuperblock,
  openMetadata,
  readSuperblock,
  sealedValues,
} from '../../src/metadata/open-metadata.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

describe('metadata that is opened', () => {
  let store: MemoryStore;

  beforeEach(async () => {
    const first = new MemoryStore();
    const state = await makePoolState(first);
    await activate(state, BASE_NAME).write(0, new Uint8Array(3 * BLOCK).fill(1));
    await state.commit();
    state.metadata.createSnapshot(deviceId(1), {
      name: 'web' as DeviceName,
      kind: 'snapshot',
      size: state.metadata.devices.get(deviceId(1)).size,
      createdAt: 0,
      filesystem: 'xfs',
    });
    await state.commit();
    store = new MemoryStore();
    for await (const [key, value] of first.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) }))
      await store.batch([{ type: 'put', key, value }], { sync: true });
    await closeState(state);
  });

  it('is what was committed, and not dirty', async () => {
    const metadata = await openMetadata(store);
    assert.ok(!metadata.isDirty);
    assert.deepEqual(metadata.collect().operations, []);
    assert.equal(metadata.devices.count, 2);
    for (const id of [1, 2])
      for (let block = 0; block < 3; block++)
        assert.notEqual(metadata.lookup(deviceId(id), virtualBlock(block)), undefined);
    const users = [...metadata.mappings(deviceId(2), 0, 12)];
    assert.ok(users.every(({ shared }) => shared));
  });

  for (const [what, key] of [
    ['a device record', deviceKey(deviceId(2))],
    ['a sheet of the chunk map', chunkMapKey(0)],
  ] as const)
    it(`does not open with ${what} damaged, unless its user is told`, async () => {
      await store.batch([{ type: 'put', key, value: new Uint8Array(30) }], { sync: true });
      await assert.rejects(openMetadata(store), { code: 'damaged' });
      const told: ThinError[] = [];
      await openMetadata(store, { onDamage: (error) => told.push(error) });
      assert.equal(told.length, 1);
    });

  it('does not open with a record lost, which the counts in the superblock show', async () => {
    await store.batch([{ type: 'del', key: deviceKey(deviceId(2)) }], { sync: true });
    await assert.rejects(openMetadata(store), { code: 'damaged', message: /counts 2 devices where 1/ });
  });

  it('reads every value of a kind, its seal checked', async () => {
    const ids: number[] = [];
    for await (const { id } of sealedValues(store, 'device')) ids.push(id);
    assert.deepEqual(ids, [1, 2]);
  });

  it('begins with an empty superblock, and is none without one', async () => {
    const empty = new MemoryStore();
    assert.throws(() => readSuperblock(empty), { code: 'no-pool' });
    const shape = { kind: 'direct', blockSize: BLOCK, chunks: 9, nodes: 99 } as const;
    const superblock = newSuperblock(shape);
    await empty.batch([putSuperblock(superblock)], { sync: true });
    assert.deepEqual(readSuperblock(empty), superblock);
    assert.equal((await openMetadata(empty)).chunks.limit, 9);
    await store.batch([{ type: 'del', key: superblockKey }], { sync: true });
    assert.throws(() => readSuperblock(store), { code: 'damaged' });
  });
});
