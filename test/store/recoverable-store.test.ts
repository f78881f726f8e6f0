import assert from 'node:assert/strict';
import { superblockKey } from '../../src/format/keys.js';
import { RecoverableStore } from '../../src/store/recoverable-store.js';
import { keyValueContract } from '../../src/testing/key-value-contract.js';
import { useScratch } from '../support/mounts.js';

/** What it does on a disk that is full: test/pool/host-full. */
describe('a store that is opened anew after a full disk', () => {
  const scratch = useScratch();
  let count = 0;
  const open = (): Promise<RecoverableStore> =>
    RecoverableStore.open(scratch.current.at(`store${count++}`), { createIfMissing: true });

  keyValueContract({ describe, it, beforeEach, afterEach }, 'as any store', open);

  it('needs no recovery as long as nothing failed, and does nothing where it is asked', async () => {
    const store = await open();
    await store.batch([{ type: 'put', key: superblockKey, value: Uint8Array.of(1) }], { sync: true });
    assert.equal(store.needsRecovery, false);
    await store.recover();
    assert.deepEqual([...store.getSync(superblockKey)!], [1]);
    await store.close();
    await store.close();
  });
});
