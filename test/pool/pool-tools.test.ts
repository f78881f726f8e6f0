import assert from 'node:assert/strict';
import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { describeKey } from '../../src/format/keys.js';
import { OpenPoolTools } from '../../src/pool/pool-tools.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState, TEST_OPTIONS } from '../support/small-pool.js';

describe('the metadata tools of an open pool', () => {
  let state: PoolState;
  let tools: OpenPoolTools;

  beforeEach(async () => {
    state = await makePoolState(new MemoryStore());
    tools = new OpenPoolTools(state, {});
    await activate(state, BASE_NAME).write(0, new Uint8Array(BLOCK).fill(1));
  });

  afterEach(async () => {
    if (state.mode === 'ro') await state.clearNeedsCheck();
    await state.reclaimer.settle();
    await closeState(state);
  });

  async function firstByte(): Promise<number> {
    const bytes = Buffer.alloc(1);
    await activate(state, BASE_NAME).read(0, bytes);
    return bytes[0]!;
  }

  it('hold the metadata of a moment, with what was written until then', async () => {
    const frozen = await tools.freeze();
    await activate(state, BASE_NAME).write(BLOCK, new Uint8Array(BLOCK).fill(2));
    await state.commit();
    const view = await frozen.view();
    const [base] = view.devices;
    assert.equal(base!.mapped, 1);
    assert.deepEqual(frozen.options(), TEST_OPTIONS);
    assert.equal(frozen.isBehind, false);
    await frozen.close();
  });

  it('keep roots until they are released, so that writes go elsewhere', async () => {
    const first = await tools.reserve();
    const second = await tools.reserve();
    assert.deepEqual(
      tools.reserved().map(({ id }) => id),
      [first.id, second.id],
    );
    const used = (): number => state.metadata.chunks.used - state.plane.free.count;
    const before = used();
    await activate(state, BASE_NAME).write(0, new Uint8Array(BLOCK).fill(2));
    await state.commit();
    assert.equal(used(), before + 1);
    assert.equal(await firstByte(), 2);
    await tools.release(first.id);
    await tools.release(second.id);
    await state.reclaimer.settle();
    await state.plane.recycled();
    assert.equal(used(), before);
    assert.deepEqual(tools.reserved(), []);
    await assert.rejects(tools.release(first.id), { code: 'not-found' });
  });

  it('compare the transaction id before they set it', async () => {
    const { transactionId } = state.metadata.superblock;
    await tools.setTransactionId(transactionId, 77);
    await assert.rejects(tools.setTransactionId(transactionId, 78), {
      code: 'invalid-argument',
      message: /77/,
    });
    assert.equal(state.metadata.superblock.transactionId, 77);
  });

  it('clear needs_check where a whole check finds nothing, and only then', async () => {
    state.foundDamage(new ThinError('damaged', 'told'));
    await state.committer.idle();
    await tools.check({ depth: 'records' });
    await tools.check({ clearNeedsCheck: false });
    assert.ok(state.metadata.superblock.needsCheck);
    assert.deepEqual((await tools.check({})).findings, []);
    assert.ok(!state.metadata.superblock.needsCheck);
    assert.equal(state.mode, 'rw');
  });

  it('change nothing in a pool that is read-only', async () => {
    state.foundDamage(new ThinError('damaged', 'told'));
    const { transactionId } = state.metadata.superblock;
    for (const change of [
      () => tools.reserve(),
      () => tools.release(1),
      () => tools.setTransactionId(transactionId, 5),
    ])
      await assert.rejects(change(), { code: 'read-only' });
  });
});

describe('the metadata tools of a pool whose disk is full', () => {
  it('show the last commit, and say that it is behind', async () => {
    class FullStore extends MemoryStore {
      isFull = false;
      readonly needsRecovery = false;
      protected override beforeApply(operations: readonly KvOperation[]): void {
        if (this.isFull && operations.some(({ key }) => describeKey(key) === 'superblock'))
          throw new ThinError('no-space', 'the disk is full');
      }
    }
    const store = new FullStore();
    const state = await makePoolState(store);
    const tools = new OpenPoolTools(state, {});
    await activate(state, BASE_NAME).write(0, new Uint8Array(BLOCK).fill(1));
    store.isFull = true;
    const frozen = await tools.freeze();
    assert.equal(frozen.isBehind, true);
    assert.equal((await frozen.view()).devices[0]!.mapped, 0);
    await frozen.close();
    await store.close();
  });
});
