import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import { describeKey } from '../../src/format/keys.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { Committer } from '../../src/pool/committer.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState, makeSmallPool } from '../support/small-pool.js';

/** Counts the batches that are on their way at one time. */
class CountingStore extends MemoryStore {
  underway = 0;
  most = 0;

  override async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    this.most = Math.max(this.most, ++this.underway);
    try {
      await super.batch(operations, options);
    } finally {
      this.underway--;
    }
  }
}

describe('the committer', () => {
  it('has one batch on its way, however many ask, and never loses sight of a chunk', async () => {
    const store = new CountingStore();
    // One cached node and chunk: whatever is not staged is read from the store.
    const pool = await makeSmallPool(store, {
      open: { stagedBytes: 2 * BLOCK, chunkCache: BLOCK, cachedNodes: 1, limits: { leaf: 4, internal: 4 } },
    });
    const base = await pool.activate(BASE_NAME);
    const writer = async (first: number): Promise<void> => {
      for (let round = 0; round < 60; round++) {
        const block = (first + round) % 12;
        await base.write(block * BLOCK + first * 512, new Uint8Array(512).fill(round + 1));
        if (round % 3 === 0) await base.flush();
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map(writer));
    await pool.settle();
    assert.equal(store.most, 1);
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('lets nobody begin a second batch beside one that waits its turn', async () => {
    const store = new CountingStore();
    const pool = await makeSmallPool(store);
    const base = await pool.activate(BASE_NAME);
    void base.write(0, new Uint8Array(512).fill(1));
    const first = pool.commit();
    void base.write(0, new Uint8Array(512).fill(2));
    const second = pool.commit();
    // Hears of the first one's end before the second begins.
    const third = first.then(() => {
      void base.write(0, new Uint8Array(512).fill(3));
      return pool.commit();
    });
    // What it waited for is durable, although the third one took it along.
    const underway = second.then(() => store.underway);
    await Promise.all([first, second, third]);
    assert.equal(await underway, 0);
    assert.equal(store.most, 1);
    await pool.close();
  });

  it('verifies each commit where it is told to, and makes none behind one that is not sound', async () => {
    /** Loses the counts of chunks, as a fault in the metadata's own code would. */
    class LosingStore extends MemoryStore {
      losing = false;

      override async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
        const kept = operations.filter(({ key }) => !describeKey(key).startsWith('chunk map'));
        await super.batch(this.losing ? kept : operations, options);
      }
    }
    for (const verify of [true, false]) {
      const store = new LosingStore();
      const pool = await makeSmallPool(store, { open: { verify } });
      const base = await pool.activate(BASE_NAME);
      await base.write(0, new Uint8Array(512).fill(1));
      await base.flush();
      store.losing = true;
      await base.write(BLOCK, new Uint8Array(512).fill(1));
      if (!verify) await base.flush();
      else {
        await assert.rejects(base.flush(), { code: 'damaged', message: /the space map calls it free/ });
        await assert.rejects(async () => base.write(0, new Uint8Array(512)), { code: 'read-only' });
        assert.equal(pool.info().mode, 'ro');
      }
      await pool.close();
    }
  });

  it('writes nothing where nothing changed, and applies in steps what did', async () => {
    const store = new CountingStore();
    const state = await makePoolState(store);
    const committer = new Committer(state, { applyStep: 2 });
    store.most = 0;
    await committer.commit();
    assert.equal(store.most, 0);
    const io = activate(state, BASE_NAME);
    await io.write(0, new Uint8Array(7 * BLOCK).fill(1));
    assert.ok(committer.isDirty);
    const pending: number[] = [];
    const applied = committer.applyInTurns(io).then(() => pending.push(-1));
    while (pending.at(-1) !== -1) {
      pending.push(io.pendingMappings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await applied;
    assert.deepEqual(
      [...new Set(pending)],
      [5, 3, 1, 0, -1].filter((count) => pending.includes(count)),
    );
    assert.equal(io.pendingMappings, 0);
    assert.equal(state.metadata.devices.get(io.device).mapped, 7);
    await committer.commit();
    assert.ok(!committer.isDirty);
    assert.equal(store.most, 1);
    await closeState(state);
  });

  it('runs work on a device at a moment when all of it is applied, and requests wait', async () => {
    const state = await makePoolState(new MemoryStore());
    const io = activate(state, BASE_NAME);
    await io.write(0, new Uint8Array(2 * BLOCK).fill(1));
    let written: Promise<void> | undefined;
    const mapped = await state.committer.applied(io, () => {
      written = io.write(5 * BLOCK, new Uint8Array(BLOCK).fill(1));
      assert.notEqual(written, undefined);
      return [io.pendingMappings, state.metadata.devices.get(io.device).mapped];
    });
    assert.deepEqual(mapped, [0, 2]);
    await written;
    assert.equal(io.mappedChunks, 3);
    await closeState(state);
  });
});
