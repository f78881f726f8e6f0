import assert from 'node:assert/strict';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { deviceKey, optionsKey, superblockKey } from '../../src/format/keys.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { openStored } from '../../src/pool/open-stored.js';
import { packOptions } from '../../src/pool/options-record.js';
import { MemoryStore } from '../support/memory-store.js';
import { closeState, makePoolState, TEST_OPTIONS } from '../support/small-pool.js';

const FLIPPED = new Uint8Array(40).fill(7);

describe('a stored pool that is opened', () => {
  let store: MemoryStore;

  beforeEach(async () => {
    const first = new MemoryStore();
    const state = await makePoolState(first);
    const copy = await readAll(first);
    await closeState(state);
    store = new MemoryStore();
    await store.batch(copy, { sync: true });
  });

  async function readAll(from: MemoryStore): Promise<{ type: 'put'; key: Uint8Array; value: Uint8Array }[]> {
    const operations: { type: 'put'; key: Uint8Array; value: Uint8Array }[] = [];
    for await (const [key, value] of from.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) }))
      operations.push({ type: 'put', key, value });
    return operations;
  }

  it('has its options and devices, and changes nothing', async () => {
    const before = await readAll(store);
    const { metadata, options, damage } = await openStored(store, {});
    assert.deepEqual(options, TEST_OPTIONS);
    assert.deepEqual(damage, []);
    assert.equal(metadata.devices.find(BASE_NAME)?.name, BASE_NAME);
    assert.deepEqual(await readAll(store), before);
  });

  for (const [what, key, told] of [
    ['options', optionsKey, /options/],
    ['device record', deviceKey, /device 1/],
  ] as const)
    it(`opens around a damaged ${what}, and says so in the store before anybody uses it`, async () => {
      const at =
        typeof key === 'function' ? key((await openStored(store, {})).metadata.devices.all()[0]!.id) : key;
      await store.batch([{ type: 'put', key: at, value: FLIPPED }], { sync: true });
      const { metadata, damage } = await openStored(store, {});
      assert.ok(
        damage.some(({ message }) => told.test(message)),
        String(damage),
      );
      assert.ok(metadata.superblock.needsCheck);
      assert.ok(readSuperblock(store).needsCheck);
    });

  it('has default options where its own are damaged', async () => {
    await store.batch([{ type: 'put', key: optionsKey, value: FLIPPED }], { sync: true });
    assert.deepEqual((await openStored(store, {})).options, DEFAULT_POOL_OPTIONS);
  });

  it('finds the options of another pool', async () => {
    await store.batch([packOptions(TEST_OPTIONS, 'another')], { sync: true });
    assert.equal((await openStored(store, {})).damage.length, 1);
  });

  it('does not open without a superblock', async () => {
    await assert.rejects(openStored(new MemoryStore(), {}), { code: 'no-pool' });
    await store.batch([{ type: 'del', key: superblockKey }], { sync: true });
    await assert.rejects(openStored(store, {}), { code: 'damaged' });
    await store.batch([{ type: 'put', key: superblockKey, value: FLIPPED }], { sync: true });
    await assert.rejects(openStored(store, {}), { code: 'damaged' });
  });
});
