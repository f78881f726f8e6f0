import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey, chunkPatchKey } from '../../src/format/keys.js';
import { PACKED_VERSION, SEAL_BYTES, sealChunk, sealVersion } from '../../src/format/seal.js';
import {
  copyPatch,
  copyWhole,
  looksRandom,
  PackingTrend,
  dataOf,
  putChanges,
  readWhole,
  readWithPatch,
  type Compression,
} from '../../src/store/chunk-values.js';
import { MemoryStore } from '../support/memory-store.js';

const SIZE = 64 * 1024;
const PAGE = 4096;
const ID = chunkId(5);
const ALL: readonly Compression[] = ['lz4', 'zstd', 'off'];

/** Half of it repeats. */
function mixed(seed: number): Uint8Array {
  const data = new Uint8Array(SIZE).fill(seed & 255);
  data.set(randomBytes(SIZE / 4), (seed % 3) * PAGE);
  return data;
}

async function stored(data: Uint8Array, compression: Compression): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.batch(await putChanges([copyWhole(ID, data)], compression), { sync: true });
  return store;
}

describe('values of chunks', () => {
  for (const compression of ALL)
    it(`read as they were written, whole and patched: ${compression}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat(255), fc.integer({ min: 1, max: 0xffff }), async (seed, pages) => {
          const store = await stored(mixed(seed), compression);
          const changed = mixed(seed + 1);
          await store.batch(await putChanges([copyPatch(ID, pages, changed, PAGE)], compression), {
            sync: true,
          });
          const expected = await mixedWith(store.getSync(chunkKey(ID))!, changed, pages);
          const { data, patched } = await readWithPatch(store, ID, SIZE, PAGE);
          assert.equal(patched, pages);
          assert.ok(Buffer.from(data).equals(expected));
        }),
        { numRuns: 50 },
      );
    });

  it('take less room where that is worth it, and are as they always were where not', async () => {
    const size = async (data: Uint8Array, compression: Compression): Promise<number> =>
      (await stored(data, compression)).getSync(chunkKey(ID))!.length;
    for (const compression of ['lz4', 'zstd'] as const) {
      assert.ok((await size(mixed(1), compression)) < SIZE / 2);
      const random = new Uint8Array(randomBytes(SIZE));
      const before = copyWhole(ID, random).bytes;
      sealChunk(before, ID);
      const value = (await stored(random, compression)).getSync(chunkKey(ID))!;
      assert.ok(Buffer.from(value).equals(before));
    }
    assert.equal(await size(mixed(1), 'off'), SIZE + SEAL_BYTES);
  });

  it('are tried seldom in a run of data that cannot be packed, and again as soon as one can', async () => {
    const trend = new PackingTrend();
    const random = Array.from({ length: 64 }, (_, i) =>
      copyWhole(chunkId(i), new Uint8Array(randomBytes(SIZE))),
    );
    await putChanges(random, 'lz4', trend);
    const store = new MemoryStore();
    const good = Array.from({ length: 64 }, (_, i) => copyWhole(chunkId(i), mixed(i)));
    await store.batch(await putChanges(good, 'lz4', trend), { sync: true });
    const isPacked = (i: number): boolean => store.getSync(chunkKey(chunkId(i)))!.length < SIZE;
    const first = good.findIndex((_, i) => isPacked(i));
    assert.ok(first >= 0 && first <= 20, `chunk ${first}`);
    assert.ok(good.slice(first + 4).every((_, i) => isPacked(first + 4 + i)));
    for (let i = 0; i < good.length; i++)
      assert.ok(Buffer.from(await readWhole(store, chunkId(i), SIZE, PAGE)).equals(mixedAs(good[i]!.bytes)));
  });

  it('are not tried where a sample looks random', () => {
    for (let i = 0; i < 200; i++) {
      for (const size of [PAGE, SIZE]) assert.ok(looksRandom(new Uint8Array(randomBytes(size))));
      assert.ok(!looksRandom(mixed(i)) && !looksRandom(Buffer.from(randomBytes(SIZE).toString('base64'))));
    }
    const eighth = new Uint8Array(randomBytes(SIZE));
    for (let at = 0; at < SIZE; at += 64) eighth.fill(0, at, at + 8);
    assert.ok(!looksRandom(eighth) && !looksRandom(new Uint8Array(SIZE)) && !looksRandom(new Uint8Array(9)));
  });

  it('keep the order of many, whatever each takes to pack', async () => {
    const changes = Array.from({ length: 40 }, (_, i) =>
      i % 2 === 0 ? copyWhole(chunkId(i), mixed(i)) : copyPatch(chunkId(i), 1 + (i % 7), mixed(i), PAGE),
    );
    const keys = (await putChanges(changes, 'zstd'))
      .filter(({ type }) => type === 'put')
      .map(({ key }) => key);
    assert.deepEqual(
      keys,
      changes.map(({ kind, chunk }) => (kind === 'whole' ? chunkKey(chunk) : chunkPatchKey(chunk))),
    );
  });

  for (const compression of ['lz4', 'zstd'] as const)
    it(`are refused where what is packed is not as it was, and never read as something else: ${compression}`, async () => {
      const data = mixed(9);
      const whole = (await stored(data, compression)).getSync(chunkKey(ID))!;
      const at = whole.length - SEAL_BYTES;
      assert.equal(sealVersion(whole, at), PACKED_VERSION);
      await fc.assert(
        fc.asyncProperty(
          fc.nat(at - 1),
          fc.integer({ min: 1, max: 255 }),
          fc.boolean(),
          async (where, flip, sealed) => {
            const value = whole.slice();
            value[where]! ^= flip;
            // Behind the seal's back, which would find all of it: then other bytes may come out, but as many,
            // or an error of ours.
            if (sealed) sealChunk(value, ID, PACKED_VERSION);
            try {
              const read = await dataOf(value, ID, SIZE);
              assert.ok(sealed && read.length === SIZE);
            } catch (error) {
              assert.ok(error instanceof ThinError, String(error));
              assert.match(error.code, /^(damaged|wrong-version)$/);
            }
          },
        ),
        { numRuns: 300 },
      );
    });

  it('of a codec that is not known ask for a newer thinfuse', async () => {
    const value = (await stored(mixed(3), 'lz4')).getSync(chunkKey(ID))!.slice();
    value[value.length - SEAL_BYTES - 1] = 77;
    sealChunk(value, ID, PACKED_VERSION);
    await assert.rejects(dataOf(value, ID, SIZE), { code: 'wrong-version', message: /codec 77/ });
  });

  it('of another chunk size are damaged', async () => {
    for (const compression of ALL) {
      const store = await stored(mixed(3), compression);
      for (const size of [SIZE / 2, 2 * SIZE])
        await assert.rejects(readWhole(store, ID, size, PAGE), { code: 'damaged' }, compression);
    }
  });
});

function mixedAs(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.subarray(0, SIZE));
}

/** The whole value's data with those pages of `changed`. */
async function mixedWith(value: Uint8Array, changed: Uint8Array, pages: number): Promise<Buffer> {
  const data = Buffer.from(await dataOf(value, ID, SIZE));
  for (let page = 0; page < SIZE / PAGE; page++)
    if ((pages & (1 << page)) !== 0) data.set(changed.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
  return data;
}
