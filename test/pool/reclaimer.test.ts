import assert from 'node:assert/strict';
import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { describeKey } from '../../src/format/keys.js';
import { checkPool } from '../../src/metadata/check.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { Reclaimer } from '../../src/pool/reclaimer.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, makePoolState } from '../support/small-pool.js';

const web = 'web' as DeviceName;
const LIMITS = { leaf: 4, internal: 4 };

/** Counts the nodes that each batch gives back. */
class NodeStore extends MemoryStore {
  readonly freed: number[] = [];
  fails = false;

  protected override beforeApply(operations: readonly KvOperation[]): void {
    if (this.fails) throw new ThinError('io', 'the disk is gone');
    const nodes = operations.filter(
      ({ type, key }) => type === 'del' && describeKey(key).startsWith('node '),
    );
    this.freed.push(nodes.length);
  }
}

describe('the space of removed devices', () => {
  let store: NodeStore;
  let state: PoolState;
  let before: { chunks: number; nodes: number };

  beforeEach(async () => {
    store = new NodeStore();
    state = await makePoolState(store, { open: { limits: LIMITS } });
    before = used();
    await new PoolSnapshots(state).take(BASE_NAME, [{ name: web, kind: 'snapshot' }]);
    const io = activate(state, web);
    for (let block = 0; block < 12; block++) await io.write(block * BLOCK, new Uint8Array(BLOCK).fill(1));
    await state.commit();
    await io.close();
    io.forgetMappings();
    state.active.delete(io.device);
    state.plane.drain();
    state.metadata.removeDevice(io.device);
    await state.commit();
    store.freed.length = 0;
  });

  function used(): { chunks: number; nodes: number } {
    return { chunks: state.metadata.chunks.used, nodes: state.metadata.nodes.used };
  }

  async function close(): Promise<void> {
    const { findings } = await checkPool(store, { limits: LIMITS });
    assert.deepEqual(findings, []);
    await state.store.close();
  }

  it('comes back in steps of so many nodes, all of it', async () => {
    const reclaimer = new Reclaimer(state, 2);
    let done = 0;
    reclaimer.start(() => done++);
    await reclaimer.settle();
    await state.plane.recycled();
    assert.ok(store.freed.filter((nodes) => nodes > 0).length > 1);
    assert.ok(Math.max(...store.freed) <= 2, String(store.freed));
    assert.deepEqual(used(), before);
    assert.equal(done, 1);
    await close();
  });

  it('stays owed where the work is stopped, until another goes on', async () => {
    const first = new Reclaimer(state, 1);
    first.start();
    await first.stop();
    first.start(() => assert.fail('it was stopped'));
    assert.equal(state.metadata.devices.pendingCount, 1);
    await new Reclaimer(state, 1).settle();
    assert.equal(state.metadata.devices.pendingCount, 0);
    assert.equal(used().nodes, before.nodes);
    await close();
  });

  it('is not looked after any more when a commit fails, and whoever settles is told', async () => {
    const reclaimer = new Reclaimer(state, 1);
    store.fails = true;
    await assert.rejects(reclaimer.settle(), { code: 'io' });
    await assert.rejects(reclaimer.settle(), { code: 'io' });
    await store.close();
  });
});
