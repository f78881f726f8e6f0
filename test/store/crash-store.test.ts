import assert from 'node:assert/strict';
import type { KvOperation } from '../../src/store/key-value.js';
import { CrashStore, seededKeep } from '../support/crash-store.js';

const key = (n: number): Uint8Array => Uint8Array.of(n);
const put = (n: number, value: number): KvOperation => ({
  type: 'put',
  key: key(n),
  value: Uint8Array.of(value),
});
const contents = (store: CrashStore): number[][] => store.dump().map(([k, v]) => [k[0]!, v[0]!]);

/** Batch n puts n: synced 0 and 2, unsynced 1, 3 and 4. */
async function filled(): Promise<CrashStore> {
  const store = new CrashStore();
  for (const n of [0, 1, 2, 3, 4]) await store.batch([put(n, n)], { sync: n === 0 || n === 2 });
  return store;
}

describe('crash store', () => {
  it('keeps everything up to the last synced batch, and nothing behind it', async () => {
    const store = await filled();
    assert.deepEqual(contents(store.crash()), [
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
  });

  it('keeps a prefix of the unsynced batches, as it is told', async () => {
    for (const kept of [0, 1, 2]) {
      const after = (await filled()).crash((unsynced) => {
        assert.equal(unsynced, 2);
        return kept;
      });
      assert.equal(after.dump().length, 3 + kept);
    }
  });

  it('chooses the same for the same seed, and all that can be over many', () => {
    const choices = (seed: number): number[] =>
      Array.from({ length: 30 }, seededKeep(seed).bind(undefined, 2));
    assert.deepEqual(choices(7), choices(7));
    assert.deepEqual(new Set(choices(7)), new Set([0, 1, 2]));
    assert.deepEqual(
      new Set(Array.from({ length: 30 }, (_, seed) => seededKeep(seed)(2))),
      new Set([0, 1, 2]),
    );
  });

  it('fails everything from the batch on at which it is frozen', async () => {
    const store = new CrashStore();
    store.freezeAt(1);
    const snapshot = store.snapshot();
    await store.batch([put(0, 0)], { sync: true });
    await assert.rejects(store.batch([put(1, 1)], { sync: true }), { code: 'io' });
    await assert.rejects(store.batch([put(2, 2)], { sync: true }), { code: 'io' });
    assert.throws(() => store.getSync(key(0)), { code: 'io' });
    await assert.rejects(store.get(key(0)), { code: 'io' });
    assert.throws(() => snapshot.getSync(key(0)), { code: 'io' });
    assert.throws(() => store.snapshot(), { code: 'io' });
    assert.deepEqual(contents(store.crash()), [[0, 0]]);
  });

  it('goes on after a crash as a store of its own', async () => {
    const first = await filled();
    const second = first.crash();
    await second.batch([put(9, 9)], { sync: false });
    assert.equal(second.getSync(key(3)), undefined);
    assert.equal(second.crash().getSync(key(9)), undefined);
    assert.deepEqual(second.crash(() => 1).getSync(key(9)), key(9));
    assert.throws(() => first.getSync(key(0)), { code: 'io' });
  });

  it('fails one batch, then takes no more but still reads', async () => {
    const store = new CrashStore();
    store.failBatch(1, 'no-space');
    await store.batch([put(0, 0)], { sync: true });
    await assert.rejects(store.batch([put(1, 1)], { sync: true }), { code: 'no-space' });
    await assert.rejects(store.batch([put(2, 2)], { sync: true }), { code: 'io' });
    assert.deepEqual(store.getSync(key(0)), key(0));
    assert.deepEqual(contents(store.crash()), [[0, 0]]);
  });

  it('damages single values', async () => {
    const store = await filled();
    store.flipBit(key(1), 6);
    assert.deepEqual(store.getSync(key(1)), key(65));
    store.swap(key(2), key(3));
    assert.deepEqual([store.getSync(key(2)), store.getSync(key(3))], [key(3), key(2)]);
    store.drop(key(4));
    assert.equal(store.getSync(key(4)), undefined);
    store.truncate(key(0), 0);
    assert.deepEqual(store.getSync(key(0)), new Uint8Array(0));
    assert.throws(() => store.drop(key(77)), /no key 4d/);
  });
});
