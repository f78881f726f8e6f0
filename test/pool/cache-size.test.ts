import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { ThreadImage } from '../../src/io/thread-image.js';
import { openPool } from '../../src/pool/pool.js';
import { makeDirectPool, openDirectPool } from '../support/direct-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const BLOCKS = 48;

describe('the size of the chunk cache', function () {
  this.timeout(120_000);
  const scratch = useScratch();

  it('changes under devices in use, and loses nothing of what they wrote', async () => {
    const store = new MemoryStore();
    const open = { stagedBytes: BLOCK / 2, chunkCache: 0 };
    const pool = await makeSmallPool(store, { blocks: 512, open });
    await pool.grow(BASE_NAME, BLOCKS * BLOCK);
    await pool.createSnapshot({ name: 'web' as DeviceName, origin: BASE_NAME, kind: 'snapshot' });
    const files = [await pool.activate(BASE_NAME), await pool.activate('web' as DeviceName)];
    const expected = files.map(() => Buffer.alloc(BLOCKS * BLOCK));
    const sizes = [64, 1, 8, 3, 0, 32];
    for (let round = 0; round < 120; round++) {
      for (const [at, file] of files.entries()) {
        const offset = randomInt((BLOCKS * BLOCK) / 512 - 8) * 512;
        const data = Buffer.alloc(4096, 1 + (round % 250));
        data.copy(expected[at]!, offset);
        await file.write(offset, data);
      }
      // A commit is under way while the frames move.
      const committed = round % 3 === 0 ? pool.commit() : undefined;
      if (round % 5 === 0)
        await pool.setOptions({ cacheSize: (sizes[(round / 5) % sizes.length] ?? 0) * BLOCK });
      await committed;
      const [at, from] = [round % 2, randomInt(BLOCKS) * BLOCK];
      const read = Buffer.alloc(BLOCK);
      await files[at]!.read(from, read);
      assert.deepEqual(read, expected[at]!.subarray(from, from + BLOCK));
    }
    await pool.setOptions({ cacheSize: 5 * BLOCK });
    await pool.close();
    const again = await openPool(store.reopen(), open);
    assert.equal(again.info().options.cacheSize, 5 * BLOCK);
    for (const [at, name] of [BASE_NAME, 'web' as DeviceName].entries()) {
      const read = Buffer.alloc(BLOCKS * BLOCK);
      await (await again.activate(name)).read(0, read);
      assert.ok(read.equals(expected[at]!), `${name} holds what was written`);
    }
    assert.deepEqual((await again.check()).findings, []);
    await again.close();
  });

  it('is another for threads, which are told of it before they go on', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const file = await pool.activate(BASE_NAME);
    await file.write(0, Buffer.alloc(BLOCK, 7));
    const before = new ThreadImage(file.memory!, 0);
    assert.ok(before.read(0, Buffer.alloc(BLOCK), 0, BLOCK));
    await pool.setOptions({ cacheSize: 4096 * BLOCK });
    assert.ok(!before.read(0, Buffer.alloc(BLOCK), 0, BLOCK), "the cache of before is nobody's any more");
    const read = Buffer.alloc(BLOCK);
    assert.ok(new ThreadImage(file.memory!, 0).read(0, read, 0, BLOCK));
    assert.equal(read[BLOCK - 1], 7);
    await pool.close();
  });

  it('is none of a direct pool', async () => {
    const root = scratch.current.at('root');
    await makeDirectPool(root, scratch.current.at('data'));
    const pool = await openDirectPool(root);
    await assert.rejects(pool.setOptions({ cacheSize: 2 ** 30 }), { code: 'invalid-argument' });
    await pool.setOptions({ cacheSize: 0 });
    await pool.close();
  });
});
