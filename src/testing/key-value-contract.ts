import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { KeyValue, KvOperation, KvReader } from '../store/key-value.js';
import type { ContractRunner } from './contract-runner.js';

const bytes = (...numbers: number[]): Uint8Array => Uint8Array.from(numbers);
const put = (key: Uint8Array, value: Uint8Array): KvOperation => ({ type: 'put', key, value });
const del = (key: Uint8Array): KvOperation => ({ type: 'del', key });
const ALL = { gte: bytes(0), lt: bytes(255, 255, 255) };

async function collect(
  reader: KvReader,
  range = ALL,
  options?: { values?: boolean },
): Promise<(readonly [Uint8Array, Uint8Array])[]> {
  const found = [];
  for await (const entry of reader.entries(range, options)) found.push(entry);
  return found;
}

/** What every `KeyValue` must keep. `open` makes an empty store, which each test closes. */
export function keyValueContract(
  { describe, it, beforeEach, afterEach }: ContractRunner,
  name: string,
  open: () => Promise<KeyValue>,
): void {
  describe(`KeyValue: ${name}`, () => {
    let store: KeyValue;

    beforeEach(async () => {
      store = await open();
    });

    afterEach(async () => {
      await store.close();
    });

    it('answers undefined for what is not there', async () => {
      assert.equal(store.getSync(bytes(1)), undefined);
      assert.equal(await store.get(bytes(1)), undefined);
      assert.deepEqual(await collect(store), []);
    });

    it('gives back what a batch put, by both ways to read', async () => {
      await store.batch([put(bytes(1), bytes(7, 8)), put(bytes(2), bytes())], { sync: true });
      assert.deepEqual(store.getSync(bytes(1)), bytes(7, 8));
      assert.deepEqual(await store.get(bytes(1)), bytes(7, 8));
      assert.deepEqual(store.getSync(bytes(2)), bytes());
      assert.deepEqual(await store.get(bytes(2)), bytes());
    });

    it('applies the operations of a batch in order, whole', async () => {
      await store.batch([put(bytes(1), bytes(1)), put(bytes(2), bytes(2))], { sync: false });
      await store.batch(
        [del(bytes(1)), put(bytes(2), bytes(3)), put(bytes(2), bytes(4)), put(bytes(3), bytes(5))],
        {
          sync: false,
        },
      );
      await store.batch([put(bytes(4), bytes(6)), del(bytes(4)), del(bytes(9))], { sync: false });
      assert.deepEqual(await collect(store), [
        [bytes(2), bytes(4)],
        [bytes(3), bytes(5)],
      ]);
    });

    it('never shows half a batch to a reader', async () => {
      const keys = [1, 2, 3, 4].map((n) => bytes(n));
      for (let round = 0; round < 20; round++) {
        const writing = store.batch(
          keys.map((key) => put(key, bytes(round))),
          { sync: false },
        );
        const values = (await collect(store)).map(([, value]) => value[0]);
        assert.equal(new Set(values).size <= 1, true, `saw ${values.join(' ')}`);
        await writing;
      }
    });

    it('takes effect in the order of the calls, also when nobody waits in between', async () => {
      const writes = Array.from({ length: 200 }, (_, n) =>
        store.batch([put(bytes(1), bytes(n))], { sync: false }),
      );
      await Promise.all(writes);
      assert.deepEqual(store.getSync(bytes(1)), bytes(199));
    });

    it('takes an empty batch', async () => {
      await store.batch([], { sync: true });
      await store.batch([], { sync: false });
      assert.deepEqual(await collect(store), []);
    });

    it('copies a batch before batch() returns', async () => {
      const key = bytes(1, 2);
      const value = new Uint8Array(65536 + 16).fill(5);
      const behindAnother = store.batch([put(bytes(9), bytes(9))], { sync: true });
      const written = store.batch([put(key, value)], { sync: true });
      key.fill(0);
      value.fill(6);
      await behindAnother;
      await written;
      assert.equal(store.getSync(bytes(0, 0)), undefined);
      assert.deepEqual(store.getSync(bytes(1, 2)), new Uint8Array(65536 + 16).fill(5));
    });

    it('takes the bytes of a view, not of the buffer under it', async () => {
      const buffer = Buffer.from([9, 9, 1, 2, 9, 9, 3, 4, 9]);
      await store.batch([put(buffer.subarray(2, 4), buffer.subarray(6, 8))], { sync: false });
      assert.deepEqual(await collect(store), [[bytes(1, 2), bytes(3, 4)]]);
      assert.deepEqual(store.getSync(buffer.subarray(2, 4)), bytes(3, 4));
    });

    it('hands out bytes that the caller owns', async () => {
      await store.batch([put(bytes(1), bytes(1, 2, 3))], { sync: false });
      store.getSync(bytes(1))!.fill(0);
      (await store.get(bytes(1)))!.fill(0);
      (await collect(store))[0]![1].fill(0);
      const got = store.getSync(bytes(1))!;
      assert.deepEqual(got, bytes(1, 2, 3));
      assert.equal(got.constructor, Uint8Array, 'a plain Uint8Array, whose slice() copies');
    });

    for (const size of [65536 + 16, 1048576 + 16]) {
      it(`keeps a value of ${size} bytes`, async () => {
        const value = Uint8Array.from({ length: size }, (_, i) => (i * 31) & 255);
        await store.batch([put(bytes(1), value), put(bytes(2), value)], { sync: true });
        assert.equal(Buffer.compare(store.getSync(bytes(1))!, value), 0);
        assert.equal(Buffer.compare((await store.get(bytes(2)))!, value), 0);
        const lengths = (await collect(store)).map((entry) => entry[1].length);
        assert.deepEqual(lengths, [size, size]);
      });
    }

    it('sorts keys as bytes', async () => {
      const keys = [bytes(255), bytes(1, 0), bytes(1), bytes(128), bytes(127, 255), bytes(1, 0, 0), bytes(2)];
      await store.batch(
        keys.map((key) => put(key, key)),
        { sync: false },
      );
      const expected = [...keys].sort((a, b) => Buffer.compare(a, b));
      assert.deepEqual(
        (await collect(store)).map(([key]) => key),
        expected,
      );
    });

    it('limits entries to a range: first key in, last key out', async () => {
      await store.batch(
        Array.from({ length: 3000 }, (_, n) => put(bytes(n >> 8, n & 255), bytes(n & 255))),
        { sync: false },
      );
      const some = await collect(store, { gte: bytes(1, 0), lt: bytes(9, 16) });
      assert.equal(some.length, 8 * 256 + 16);
      assert.deepEqual(some[0]![0], bytes(1, 0));
      assert.deepEqual(some.at(-1)![0], bytes(9, 15));
      assert.deepEqual(await collect(store, { gte: bytes(5), lt: bytes(5) }), []);
      assert.deepEqual(await collect(store, { gte: bytes(200), lt: bytes(201) }), []);
    });

    it('leaves values out on request', async () => {
      await store.batch([put(bytes(1), bytes(1)), put(bytes(2), bytes(2))], { sync: false });
      assert.deepEqual(await collect(store, ALL, { values: false }), [
        [bytes(1), bytes()],
        [bytes(2), bytes()],
      ]);
    });

    it('can be left in the middle of entries', async () => {
      await store.batch(
        Array.from({ length: 100 }, (_, n) => put(bytes(n), bytes(n))),
        { sync: false },
      );
      for await (const [key] of store.entries(ALL)) if (key[0] === 3) break;
      assert.equal((await collect(store)).length, 100);
    });

    it('goes through entries as they were when it began', async () => {
      await store.batch(
        Array.from({ length: 10 }, (_, n) => put(bytes(n), bytes(0))),
        { sync: false },
      );
      const seen: number[][] = [];
      for await (const [key, value] of store.entries(ALL)) {
        if (seen.length === 0)
          await store.batch([put(bytes(5), bytes(1)), del(bytes(6)), put(bytes(50), bytes(1))], {
            sync: false,
          });
        seen.push([key[0]!, value[0]!]);
      }
      assert.deepEqual(
        seen,
        Array.from({ length: 10 }, (_, n) => [n, 0]),
      );
    });

    it('keeps a snapshot as it was', async () => {
      await store.batch([put(bytes(1), bytes(1)), put(bytes(2), bytes(2))], { sync: false });
      const snapshot = store.snapshot();
      await store.batch([put(bytes(1), bytes(9)), del(bytes(2)), put(bytes(3), bytes(3))], { sync: true });
      assert.deepEqual(snapshot.getSync(bytes(1)), bytes(1));
      assert.deepEqual(await snapshot.get(bytes(2)), bytes(2));
      assert.equal(snapshot.getSync(bytes(3)), undefined);
      assert.deepEqual(await collect(snapshot), [
        [bytes(1), bytes(1)],
        [bytes(2), bytes(2)],
      ]);
      assert.deepEqual(await collect(snapshot, { gte: bytes(2), lt: bytes(9) }, { values: false }), [
        [bytes(2), bytes()],
      ]);
      await snapshot.close();
      assert.deepEqual(store.getSync(bytes(1)), bytes(9));
    });

    it('says that a closed snapshot is closed, and takes a second close', async () => {
      const snapshot = store.snapshot();
      await snapshot.close();
      await snapshot.close();
      assert.throws(() => snapshot.getSync(bytes(1)), { code: 'closed' });
      await assert.rejects(snapshot.get(bytes(1)), { code: 'closed' });
      await assert.rejects(collect(snapshot), { code: 'closed' });
      assert.equal(store.getSync(bytes(1)), undefined);
    });

    it('finishes what it accepted when it is closed, and then refuses everything', async () => {
      const snapshot = store.snapshot();
      const accepted = store.batch([put(bytes(1), bytes(1))], { sync: true });
      const closing = store.close();
      await assert.rejects(store.batch([], { sync: false }), { code: 'closed' });
      await accepted;
      await closing;
      await store.close();
      assert.throws(() => store.getSync(bytes(1)), { code: 'closed' });
      await assert.rejects(store.get(bytes(1)), { code: 'closed' });
      await assert.rejects(store.batch([put(bytes(1), bytes(1))], { sync: false }), { code: 'closed' });
      await assert.rejects(collect(store), { code: 'closed' });
      assert.throws(() => store.snapshot(), { code: 'closed' });
      assert.throws(() => snapshot.getSync(bytes(1)), { code: 'closed' });
      await snapshot.close();
    });

    it('is a sorted map, whatever is done to it', async () => {
      const key = fc.uint8Array({ minLength: 1, maxLength: 2, max: 3 });
      const operation: fc.Arbitrary<KvOperation> = fc.oneof(
        fc.record({ type: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 5 }) }),
        fc.record({ type: fc.constant('del' as const), key }),
      );
      const model = new Map<string, Uint8Array>();
      const step = fc.tuple(fc.array(operation, { maxLength: 8 }), fc.boolean(), key, key);
      await fc.assert(
        fc.asyncProperty(step, async ([operations, sync, a, b]) => {
          await store.batch(operations, { sync });
          for (const change of operations) {
            if (change.type === 'put') model.set(Buffer.from(change.key).toString('hex'), change.value);
            else model.delete(Buffer.from(change.key).toString('hex'));
          }
          const [gte, lt] = Buffer.compare(a, b) <= 0 ? [a, b] : [b, a];
          const expected = [...model]
            .map(([hex, value]) => [new Uint8Array(Buffer.from(hex, 'hex')), value] as const)
            .filter(([k]) => Buffer.compare(gte, k) <= 0 && Buffer.compare(k, lt) < 0)
            .sort(([x], [y]) => Buffer.compare(x, y));
          assert.deepEqual(await collect(store, { gte, lt }), expected);
          assert.deepEqual(store.getSync(a), model.get(Buffer.from(a).toString('hex')));
        }),
        { numRuns: 150 },
      );
    });
  });
}
