import assert from 'node:assert/strict';
import { NEVER_EXTEND } from '../../src/config/defaults.js';
import { mergePoolOptions } from '../../src/config/storage-options.js';
import { optionsKey } from '../../src/format/keys.js';
import { seal, unseal } from '../../src/format/seal.js';
import { packOptions, parseOptions, readOptions } from '../../src/pool/options-record.js';
import { MemoryStore } from '../support/memory-store.js';

const OPTIONS = mergePoolOptions({ compression: 'zstd', noSpaceTimeout: 7, mountOptions: 'noatime' });

async function storeOf(text: string): Promise<MemoryStore> {
  const store = new MemoryStore();
  const value = seal('options', 0, Buffer.from(text));
  await store.batch([{ type: 'put', key: optionsKey, value }], { sync: true });
  return store;
}

describe("the record of a pool's options", () => {
  it('is read as it was written', async () => {
    const store = new MemoryStore();
    await store.batch([packOptions(OPTIONS, 'a-pool')], { sync: true });
    assert.deepEqual(readOptions(store), OPTIONS);
  });

  it('of a pool of before lacks what came later, and means what that pool did', async () => {
    const store = new MemoryStore();
    const operation = packOptions(OPTIONS, 'a-pool');
    assert(operation.type === 'put');
    const LATER =
      /^(autoextendThreshold|autoextendPercent|lowWater|metadataLowWater|originTimeout|compression)$/;
    const text = Buffer.from(unseal('options', 0, operation.value, 'options')).toString();
    const before = Object.entries(JSON.parse(text) as object).filter(([name]) => !LATER.test(name));
    const value = seal('options', 0, Buffer.from(JSON.stringify(Object.fromEntries(before))));
    await store.batch([{ type: 'put', key: optionsKey, value }], { sync: true });
    const read = readOptions(store);
    assert.equal(read.autoextendThreshold, NEVER_EXTEND);
    assert.equal(read.compression, 'off');
    assert.equal(read.lowWater, 0);
    assert.equal(read.noSpaceTimeout, OPTIONS.noSpaceTimeout);
  });

  it('is damaged where it is missing, no JSON, or has a value that cannot be', async () => {
    for (const store of [
      new MemoryStore(),
      await storeOf('{'),
      await storeOf(JSON.stringify({ ...OPTIONS, minFreeSpace: 100 })),
      await storeOf(JSON.stringify({ ...OPTIONS, filesystem: 'btrfs' })),
    ])
      assert.throws(() => readOptions(store), { code: 'damaged' });
    assert.equal(parseOptions({ ...OPTIONS, baseSize: -1 }), undefined);
  });
});
