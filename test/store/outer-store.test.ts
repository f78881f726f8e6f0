import assert from 'node:assert/strict';
import { superblockKey, rangeOf } from '../../src/format/keys.js';
import type { BatchOptions, KvOperation } from '../../src/store/key-value.js';
import { OuterStore } from '../../src/store/outer-store.js';
import { keyValueContract } from '../../src/testing/key-value-contract.js';
import { MemoryStore } from '../support/memory-store.js';

class Around extends OuterStore {
  constructor() {
    super(new MemoryStore());
  }

  batch(operations: readonly KvOperation[], options: BatchOptions): Promise<void> {
    return this.inner.batch(operations, options);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

keyValueContract({ describe, it, beforeEach, afterEach }, 'a store around another one', () =>
  Promise.resolve(new Around()),
);

describe('a store around one that lacks what not every store has', () => {
  it('answers for it as for nothing', async () => {
    const store = new Around();
    await store.batch([{ type: 'put', key: superblockKey, value: Uint8Array.of(1) }], { sync: true });
    await store.compact(rangeOf('chunk'));
    assert.equal(await store.sizeOf(rangeOf('chunk')), 0);
    for await (const error of store.damagedFiles()) assert.fail(error.message);
    store.watchFiles((error) => assert.fail(error.message));
    await store.close();
  });
});
