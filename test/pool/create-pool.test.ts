import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import type { CreatePoolRequest } from '../../src/pool/thin-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { PoolModel } from '../support/pool-model.js';
import { seededNumbers } from '../support/sector-workload.js';
import { TEST_OPTIONS } from '../support/small-pool.js';

const KIB = 1024;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const REQUEST: CreatePoolRequest = {
  path: 'memory',
  blockSize: 64 * KIB,
  dataSize: GIB,
  metadataSize: 16 * MIB,
  options: TEST_OPTIONS,
};

describe('making a pool', () => {
  for (const blockSize of [64 * KIB, 192 * KIB, MIB, GIB])
    it(`takes blocks of ${blockSize / KIB} KiB`, async () => {
      const store = new MemoryStore();
      await createPool(store, { ...REQUEST, blockSize, dataSize: 3 * GIB + 1 });
      const pool = await openPool(store, { commitInterval: 0 });
      const info = pool.info();
      assert.equal(info.blockSize, blockSize);
      assert.equal(info.dataTotal, Math.floor((3 * GIB) / blockSize) * blockSize);
      assert.deepEqual([info.dataUsed, info.metadataTotal, info.metadataUsed], [0, 16 * MIB, 4096]);
      assert.deepEqual([info.mode, info.transactionId, info.time], ['rw', 1, 0]);
      assert.equal(pool.device(BASE_NAME)?.size, TEST_OPTIONS.baseSize);
      assert.deepEqual((await pool.check()).findings, []);
      await pool.close();
    });

  const refusals: readonly (readonly [string, Partial<CreatePoolRequest>, string, RegExp])[] = [
    ['no block', { blockSize: 0 }, 'invalid-argument', /block size 0/],
    ['a small block', { blockSize: 4096 }, 'invalid-argument', /block size 4096.*64K/],
    ['an odd block', { blockSize: 96 * KIB }, 'invalid-argument', /98304.*multiples of 64K/],
    ['a large block', { blockSize: 2 * GIB }, 'invalid-argument', /1G/],
    ['no room for a block', { dataSize: 64 * KIB - 1 }, 'invalid-argument', /65535 bytes/],
    ['more than can be numbered', { dataSize: 2 ** 47 }, 'too-large', /larger block size/],
    ['too little metadata', { metadataSize: 255 * KIB }, 'invalid-argument', /256K/],
    ['no base', { options: { ...TEST_OPTIONS, baseSize: 0 } }, 'invalid-argument', /device size 0/],
    ['half a sector', { options: { ...TEST_OPTIONS, baseSize: 700 } }, 'invalid-argument', /device size 700/],
    ['too large a base', { options: { ...TEST_OPTIONS, baseSize: 2 ** 49 } }, 'too-large', /more blocks/],
  ];
  for (const [what, change, code, message] of refusals)
    it(`refuses ${what} and writes nothing`, async () => {
      const store = new MemoryStore();
      await assert.rejects(createPool(store, { ...REQUEST, ...change }), { code, message });
      assert.deepEqual(store.dump(), []);
    });

  it('works with blocks of 1 MiB as with any', async () => {
    const size = 5 * MIB + 4096;
    const store = new MemoryStore();
    await createPool(store, { ...REQUEST, blockSize: MIB, options: { ...TEST_OPTIONS, baseSize: size } });
    const model = new PoolModel(await openPool(store, { commitInterval: 0 }), BASE_NAME, size);
    const next = seededNumbers(5);
    for (let step = 0; step < 60; step++) {
      const name = model.names[next(model.names.length)]!;
      const offset = next(size / 512) * 512;
      const length = Math.min(size - offset, (1 + next(4096)) * 512);
      const dice = next(10);
      if (dice < 6) await model.write(name, offset, new Uint8Array(length).fill(step + 1));
      else if (dice === 6) await model.discard(name, offset, length, MIB);
      else if (dice === 7) await model.writeZeroes(name, offset, length);
      else if (dice === 8 && model.names.length < 4) await model.snapshot(name, `s${step}` as DeviceName);
      else await model.pool.commit();
    }
    await model.verify();
    await model.checkPool();
    await model.pool.close();
  });
});
