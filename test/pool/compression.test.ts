import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { kindOf, optionsKey, superblockKey } from '../../src/format/keys.js';
import { PACKED_VERSION, seal, SEAL_BYTES, sealVersion, unseal } from '../../src/format/seal.js';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import { repairPool } from '../../src/pool/repair-pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashStore } from '../support/crash-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const SNAP = 'snap' as DeviceName;

/** As a program of before left it: its options have no such field. */
async function poolOfBefore(): Promise<CrashStore> {
  const closed = new CrashStore();
  await (await makeSmallPool(closed, { options: { compression: 'off' } })).close();
  const store = new CrashStore(closed.contents);
  const { compression: _none, ...options } = JSON.parse(
    Buffer.from(unseal('options', 0, store.getSync(optionsKey)!, 'options')).toString(),
  ) as Record<string, unknown>;
  const value = seal('options', 0, Buffer.from(JSON.stringify(options)));
  await store.batch([{ type: 'put', key: optionsKey, value }], { sync: true });
  return store;
}

async function write(pool: ThinPool, name: DeviceName, block: number, fill: number): Promise<void> {
  const file = await pool.activate(name);
  await file.write(block * BLOCK, new Uint8Array(BLOCK).fill(fill));
  await file.flush();
}

async function firstBytes(pool: ThinPool, name: DeviceName, blocks: number): Promise<number[]> {
  const file = await pool.activate(name);
  const found: number[] = [];
  for (let block = 0; block < blocks; block++) {
    const into = new Uint8Array(BLOCK);
    await file.read(block * BLOCK, into);
    found.push(into.every((byte) => byte === into[0]) ? into[0]! : -1);
  }
  return found;
}

const superblockVersion = (store: CrashStore): number => sealVersion(store.getSync(superblockKey)!, 0);

/** Of each chunk, whether it is packed. */
async function packed(store: CrashStore): Promise<boolean[]> {
  const found: boolean[] = [];
  for await (const [key, value] of store.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) }))
    if (kindOf(key) === 'chunk') found.push(sealVersion(value, value.length - SEAL_BYTES) === PACKED_VERSION);
  return found;
}

describe('compression of a pool', () => {
  it('is off in a pool of before, which programs of before go on to open', async () => {
    const store = await poolOfBefore();
    const pool = await openPool(store, { commitInterval: 0 });
    await write(pool, BASE_NAME, 0, 1);
    assert.equal(pool.info().options.compression, 'off');
    assert.deepEqual([await packed(store), superblockVersion(store)], [[false], 1]);
    await pool.close();
  });

  it('changes for what is written from then on, and what is there is read as it is', async () => {
    const store = await poolOfBefore();
    const pool = await openPool(store, { commitInterval: 0 });
    await write(pool, BASE_NAME, 0, 1);
    await pool.setOptions({ compression: 'lz4' });
    assert.equal(superblockVersion(store), PACKED_VERSION, 'before any value is packed');
    await write(pool, BASE_NAME, 1, 2);
    await pool.setOptions({ compression: 'zstd' });
    await write(pool, BASE_NAME, 2, 3);
    await pool.createSnapshot({ name: SNAP, origin: BASE_NAME, kind: 'snapshot' });
    const file = await pool.activate(SNAP);
    await file.write(BLOCK, new Uint8Array(4096).fill(2));
    await pool.setOptions({ compression: 'off' });
    await write(pool, BASE_NAME, 3, 4);
    await pool.close();
    const left = new CrashStore(store.contents);
    assert.deepEqual(await packed(left), [false, true, true, false]);
    assert.equal(superblockVersion(left), PACKED_VERSION);
    const again = await openPool(left, { commitInterval: 0 });
    assert.deepEqual(await firstBytes(again, BASE_NAME, 5), [1, 2, 3, 4, 0]);
    assert.deepEqual(await firstBytes(again, SNAP, 4), [1, 2, 3, 0]);
    assert.deepEqual((await again.check()).findings, []);
    await again.close();
  });

  it('comes along with repair, also where the superblock is gone', async () => {
    for (const loses of [false, true]) {
      const closed = new CrashStore();
      const pool = await makeSmallPool(closed, { options: { compression: 'zstd' } });
      for (let block = 0; block < 3; block++) await write(pool, BASE_NAME, block, 7 + block);
      await pool.close();
      const store = new CrashStore(closed.contents);
      if (loses) await store.batch([{ type: 'del', key: superblockKey }], { sync: true });
      const to = new CrashStore();
      const { chunks } = await repairPool(store, to);
      assert.equal(chunks, 3);
      assert.deepEqual([await packed(to), superblockVersion(to)], [[true, true, true], PACKED_VERSION]);
      const repaired = await openPool(to, { commitInterval: 0 });
      assert.deepEqual(await firstBytes(repaired, BASE_NAME, 3), [7, 8, 9]);
      await repaired.close();
    }
  });

  it('does not concern a direct pool', async () => {
    const store = new CrashStore();

    const shape = { path: 'memory', blockSize: BLOCK, dataSize: 64 * BLOCK, metadataSize: 2 ** 20 };
    await createPool(store, {
      ...shape,
      kind: 'direct',
      options: { ...DEFAULT_POOL_OPTIONS, compression: 'lz4', baseSize: 8 * BLOCK },
    });
    assert.equal(superblockVersion(store), 1);
  });
});
