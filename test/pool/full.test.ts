import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { createPool } from '../../src/pool/create-pool.js';
import type { PoolMode } from '../../src/pool/info.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashStore } from '../support/crash-store.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool, TEST_OPTIONS } from '../support/small-pool.js';

const A = 'a' as DeviceName;
const bytes = (fill: number, length = BLOCK): Uint8Array => new Uint8Array(length).fill(fill);
const isFull = (error: unknown): boolean =>
  error instanceof ThinError && error.code === 'no-space' && error.message.includes('device base');

async function done(pool: ThinPool): Promise<void> {
  await pool.settle();
  assert.deepEqual((await pool.check()).findings, []);
  await pool.close();
}

describe('a pool that runs full', () => {
  it('refuses new blocks at once; overwrites, reads, discards and removals go on; then there is room again', async () => {
    const modes: PoolMode[] = [];
    const open = { events: { onModeChanged: (mode: PoolMode) => modes.push(mode) } };
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 4, open });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 3 * BLOCK));
    await assert.rejects(async () => base.write(3 * BLOCK, bytes(2, 2 * BLOCK)), isFull);
    assert.equal(pool.info().mode, 'out_of_data_space');
    await base.write(0, bytes(3, 512));
    await base.flush();
    const into = new Uint8Array(5 * BLOCK);
    await base.read(0, into);
    assert.deepEqual([into[0], into[512], into[3 * BLOCK], into[4 * BLOCK]], [3, 1, 2, 0]);
    await base.discard(0, BLOCK);
    await base.write(4 * BLOCK, bytes(4));
    await base.flush();
    assert.equal(pool.info().mode, 'rw');
    await pool.createSnapshot({ name: A, origin: BASE_NAME, kind: 'snapshot' });
    await assert.rejects(async () => base.write(BLOCK, bytes(5, 512)), isFull);
    await base.read(0, into);
    assert.equal(into[BLOCK], 1, 'a sharing that could not be broken reads as it was');
    await base.discard(BLOCK, BLOCK);
    await pool.remove(A);
    await pool.settle();
    assert.equal(pool.info().mode, 'rw');
    await base.write(5 * BLOCK, bytes(6));
    assert.deepEqual(modes, ['out_of_data_space', 'rw', 'out_of_data_space', 'rw']);
    await done(pool);
  });

  it('queues a write until there is room, or the time is over', async () => {
    const options = { errorIfNoSpace: false, noSpaceTimeout: 0.2 };
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 2, options });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 2 * BLOCK));
    assert.equal(pool.info().waitedEnough, false);
    await assert.rejects(async () => base.write(2 * BLOCK, bytes(2)), isFull);
    assert.equal(pool.info().waitedEnough, true);
    await pool.setOptions({ noSpaceTimeout: 30 });
    assert.equal(pool.info().waitedEnough, false);
    const waiting = base.write(2 * BLOCK, bytes(3));
    await sleep(20);
    await base.discard(0, BLOCK);
    await base.flush();
    await waiting;
    const into = new Uint8Array(3 * BLOCK);
    await base.read(0, into);
    assert.deepEqual([into[0], into[BLOCK], into[2 * BLOCK]], [0, 1, 3]);
    assert.equal(pool.info().mode, 'rw');
    assert.equal(pool.info().waitedEnough, false);
    await done(pool);
  });

  it('lets nobody wait again once the time is over, until there was room', async () => {
    const options = { errorIfNoSpace: false, noSpaceTimeout: 1 };
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 2, options });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1, 2 * BLOCK));
    await assert.rejects(async () => base.write(2 * BLOCK, bytes(2)), isFull);
    // Who waits does so by timers; those that come later are answered at once.
    const { setTimeout } = globalThis;
    let timers = 0;
    const counted = ((...args: Parameters<typeof setTimeout>) => {
      timers++;
      return setTimeout(...args);
    }) as typeof setTimeout;
    globalThis.setTimeout = counted;
    try {
      for (let round = 0; round < 12; round++)
        await assert.rejects(async () => base.write((2 + (round % 8)) * BLOCK, bytes(2)), isFull);
    } finally {
      globalThis.setTimeout = setTimeout;
    }
    assert.equal(timers, 0);
    await pool.setOptions({ noSpaceTimeout: 30 });
    await base.discard(0, BLOCK);
    await base.flush();
    assert.equal(pool.info().mode, 'rw');
    await base.write(2 * BLOCK, bytes(3));
    const waiting = base.write(3 * BLOCK, bytes(4));
    await sleep(20);
    await base.discard(BLOCK, BLOCK);
    await base.flush();
    await waiting;
    await done(pool);
  });

  it('lets a queued write go when the pool closes', async () => {
    const pool = await makeSmallPool(new MemoryStore(), { blocks: 1, options: { errorIfNoSpace: false } });
    const base = await pool.activate(BASE_NAME);
    await base.write(0, bytes(1));
    const waiting = assert.rejects(async () => base.write(BLOCK, bytes(2)), ThinError);
    await sleep(5);
    await pool.close();
    await waiting;
  });

  it('stops before its metadata is used up: nothing by half, everything promised is kept', async () => {
    const store = new CrashStore();
    const open = { commitInterval: 0, limits: { leaf: 4, internal: 4 } };
    await createPool(store, {
      path: 'memory',
      blockSize: BLOCK,
      dataSize: 4096 * BLOCK,
      metadataSize: 72 * 4096,
      options: { ...TEST_OPTIONS, baseSize: 512 * BLOCK },
    });
    const pool = await openPool(store, open);
    const base = await pool.activate(BASE_NAME);
    let kept = 0;
    await assert.rejects(async () => {
      for (let block = 0; block < 512; block++) {
        await base.write(block * BLOCK, bytes(1 + (block % 255), 512));
        await base.flush();
        kept = block + 1;
      }
    }, isFull);
    assert.ok(kept > 0 && kept < 512);
    await assert.rejects(pool.createSnapshot({ name: A, origin: BASE_NAME, kind: 'snapshot' }), {
      code: 'no-space',
    });
    assert.equal(pool.device(A), undefined);
    await base.discard(0, BLOCK);
    await base.flush();
    const again = await openPool(store.crash(), open);
    assert.deepEqual((await again.check()).findings, []);
    const file = await again.activate(BASE_NAME);
    const sector = new Uint8Array(512);
    for (let block = 0; block < 512; block++) {
      await file.read(block * BLOCK, sector);
      const expected = block === 0 || block >= kept ? 0 : 1 + (block % 255);
      assert.ok(
        sector.every((byte) => byte === expected),
        `block ${block}`,
      );
    }
    await file.discard(0, (kept - 1) * BLOCK);
    await file.flush();
    await again.createSnapshot({ name: A, origin: BASE_NAME, kind: 'snapshot' });
    await done(again);
    await pool.close().catch(() => undefined);
  });
});

describe('a pool whose metadata is used up', () => {
  it('still discards what is shared with a snapshot, and removes it', async () => {
    const store = new MemoryStore();
    await createPool(store, {
      path: 'memory',
      blockSize: BLOCK,
      dataSize: 4096 * BLOCK,
      metadataSize: 200 * 4096,
      options: { ...TEST_OPTIONS, baseSize: 512 * BLOCK },
    });
    const pool = await openPool(store, { commitInterval: 0, limits: { leaf: 4, internal: 4 } });
    const base = await pool.activate(BASE_NAME);
    for (let block = 0; block < 100; block++) await base.write(block * BLOCK, bytes(1, 512));
    await base.flush();
    await pool.createSnapshot({ name: A, origin: BASE_NAME, kind: 'snapshot' });
    await assert.rejects(async () => {
      for (let block = 0; block < 512; block++) {
        await base.write(block * BLOCK, bytes(2, 512));
        await base.flush();
      }
    }, isFull);
    const snapshot = await pool.activate(A);
    let freed = 0;
    try {
      for (; freed < 100; freed++) {
        await snapshot.discard(freed * BLOCK, BLOCK);
        await snapshot.flush();
      }
    } catch (error) {
      assert.ok(error instanceof ThinError && error.code === 'no-space', String(error));
    }
    assert.ok(freed > 0);
    assert.notEqual(pool.info().mode, 'ro');
    await pool.deactivate(A);
    await pool.remove(A);
    await pool.settle();
    await base.discard(0, 100 * BLOCK);
    await base.flush();
    await base.write(0, bytes(3));
    assert.equal(pool.info().mode, 'rw');
    await done(pool);
  });
});
