import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import type { SpaceEvent } from '../../src/pool/space-events.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool, TEST_OPTIONS } from '../support/small-pool.js';

const bytes = (fill: number, length = BLOCK): Uint8Array => new Uint8Array(length).fill(fill);

async function done(pool: ThinPool): Promise<void> {
  await pool.settle();
  assert.deepEqual((await pool.check()).findings, []);
  await pool.close();
}

describe('a pool that grows', () => {
  it('lets writers go on that found it full, keeps what it holds, and stays as large', async () => {
    const store = new MemoryStore();
    const pool = await makeSmallPool(store, { blocks: 2 });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 2 * BLOCK));
    await assert.rejects(async () => base.write(2 * BLOCK, bytes(2)), { code: 'no-space' });
    const { dataTotal, mode } = await pool.extend({ data: 5 * BLOCK + 17 });
    assert.deepEqual([dataTotal, mode], [5 * BLOCK, 'rw']);
    await base.write(2 * BLOCK, bytes(2, 3 * BLOCK));
    await assert.rejects(async () => base.write(5 * BLOCK, bytes(3)), { code: 'no-space' });
    await assert.rejects(pool.extend({ data: 4 * BLOCK }), { code: 'invalid-argument' });
    await assert.rejects(pool.extend({ data: 2 ** 50 }), { code: 'too-large' });
    await done(pool);
    const again = await openPool(store.reopen(), { commitInterval: 0 });
    assert.equal(again.info().dataTotal, 5 * BLOCK);
    const into = new Uint8Array(5 * BLOCK);
    await (await again.activate(BASE_NAME)).read(0, into);
    assert.deepEqual([into[0], into[2 * BLOCK], into[5 * BLOCK - 1]], [1, 2, 2]);
    await done(again);
  });

  it('lets a queued writer go on', async () => {
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 1, options: { errorIfNoSpace: false } });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1));
    const waiting = base.write(BLOCK, bytes(2));
    await pool.extend({ data: 2 * BLOCK });
    await waiting;
    assert.equal(pool.info().mode, 'rw');
    await done(pool);
  });

  it('grows by itself from the threshold on, and a writer never finds it full', async () => {
    const events: SpaceEvent[] = [];
    const open = { events: { onSpace: (event: SpaceEvent) => events.push(event) } };
    const options = { autoextendThreshold: 80, autoextendPercent: 20, baseSize: 100 * BLOCK };
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 10, options, open });
    const base = await pool.activate(BASE_NAME);
    for (let block = 0; block < 9; block++) await base.write(block * BLOCK, bytes(block + 1));
    await pool.settle();
    assert.equal(pool.info().dataTotal, 12 * BLOCK);
    assert.deepEqual(
      events.filter(({ kind }) => kind !== 'low-water'),
      [
        { kind: 'threshold', space: 'data', percent: 90, used: 9 * BLOCK, total: 10 * BLOCK },
        { kind: 'extended', space: 'data', from: 10 * BLOCK, to: 12 * BLOCK, by: 'autoextend' },
      ],
    );
    await base.write(9 * BLOCK, bytes(10, 91 * BLOCK));
    assert.equal(pool.info().mode, 'rw');
    const { dataUsed, dataTotal } = pool.info();
    assert.equal(dataUsed, 100 * BLOCK);
    assert.ok(dataTotal >= 100 * BLOCK);
    await done(pool);
  });

  it('tells once that it cannot grow, and is full then', async () => {
    const events: SpaceEvent[] = [];
    const open = {
      events: { onSpace: (event: SpaceEvent) => events.push(event) },
      hostDisk: {
        total: 1000 * BLOCK,
        free: () => BLOCK,
        holdReserve: () => Promise.resolve(),
        releaseReserve: () => Promise.resolve(),
      },
      hostFloor: 0,
    };
    const options = { autoextendThreshold: 50 };
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 10, options, open });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 10 * BLOCK));
    await assert.rejects(async () => base.write(10 * BLOCK, bytes(2)), { code: 'no-space' });
    await pool.settle();
    assert.equal(events.filter(({ kind }) => kind === 'extend-failed').length, 1);
    assert.equal(pool.info().mode, 'out_of_data_space');
    await done(pool);
  });

  it('grows its metadata, when asked and by itself', async () => {
    for (const autoextendThreshold of [100, 80]) {
      const store = new MemoryStore();
      const limits = { leaf: 4, internal: 4 };
      await createPool(store, {
        path: 'memory',
        blockSize: BLOCK,
        dataSize: 4096 * BLOCK,
        metadataSize: 72 * 4096,
        options: { ...TEST_OPTIONS, baseSize: 512 * BLOCK, autoextendThreshold },
      });
      const pool = await openPool(store, { commitInterval: 0, limits });
      const base = await pool.activate(BASE_NAME);
      const fill = async (): Promise<void> => {
        for (let block = 0; block < 512; block++) {
          await base.write(block * BLOCK, bytes(1, 512));
          await base.flush();
        }
      };
      if (autoextendThreshold === 100) {
        await assert.rejects(fill(), { code: 'no-space' });
        await pool.extend({ metadata: 2 ** 22 });
      }
      await fill();
      assert.ok(pool.info().metadataTotal > 72 * 4096);
      await done(pool);
    }
  });
});

describe('a quota', () => {
  const WEB = 'web' as DeviceName;

  it('bounds what a device maps, shared or not, and nobody else', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 3 * BLOCK));
    await assert.rejects(
      pool.createSnapshot({ name: WEB, origin: BASE_NAME, kind: 'snapshot', quota: 2 * BLOCK }),
      { code: 'invalid-argument' },
    );
    await pool.createSnapshot({ name: WEB, origin: BASE_NAME, kind: 'snapshot', quota: 5 * BLOCK });
    const web = await pool.activate(WEB);
    await web.write(0, bytes(2, 3 * BLOCK));
    await web.write(3 * BLOCK, bytes(3, 2 * BLOCK));
    const over = { code: 'no-space', message: /device web maps as much as its quota/ };
    await assert.rejects(async () => web.write(5 * BLOCK, bytes(4, 512)), over);
    await web.write(0, bytes(5, 5 * BLOCK));
    await base.write(5 * BLOCK, bytes(6, 5 * BLOCK));
    assert.equal(pool.info().mode, 'rw');
    await web.discard(0, BLOCK);
    await web.write(5 * BLOCK, bytes(4, 512));
    await assert.rejects(async () => web.write(0, bytes(4, 512)), over);
    await pool.update(WEB, { quota: 6 * BLOCK });
    await web.write(0, bytes(7, 512));
    await pool.update(WEB, { quota: 0 });
    assert.equal(pool.device(WEB)?.quota, undefined);
    await web.write(6 * BLOCK, bytes(8, 6 * BLOCK));
    await done(pool);
  });

  it('is kept with the device', async () => {
    const store = new MemoryStore();
    const pool = await makeSmallPool(store);
    await pool.createSnapshot({ name: WEB, origin: BASE_NAME, kind: 'snapshot', quota: BLOCK });
    await pool.close();
    const again = await openPool(store.reopen(), { commitInterval: 0 });
    const web = await again.activate(WEB);
    await web.write(0, bytes(1));
    await assert.rejects(async () => web.write(BLOCK, bytes(1)), { code: 'no-space' });
    await done(again);
  });
});
