import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { Extender, type GrowthOptions } from '../../src/pool/extender.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import type { SpaceEvent } from '../../src/pool/space-events.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, closeState, makePoolState } from '../support/small-pool.js';

const BLOCKS = 100;

async function make(
  options: Partial<PoolState['options']> = {},
  growth: GrowthOptions = {},
): Promise<{ state: PoolState; extender: Extender; events: SpaceEvent[] }> {
  const events: SpaceEvent[] = [];
  const open = { events: { onSpace: (event: SpaceEvent) => events.push(event) } };
  const state = await makePoolState(new MemoryStore(), { blocks: BLOCKS, options, open });
  return { state, extender: new Extender(state, { dataFree: () => undefined, ...growth }), events };
}

function kindsOf(events: readonly SpaceEvent[]): string[] {
  return events.map(({ kind }) => kind);
}

describe('a pool that grows', () => {
  it('grows to whole blocks, and never shrinks', async () => {
    const { state, extender, events } = await make();
    const { nodes } = state.metadata.superblock;
    await extender.extend({ data: 150 * BLOCK + 1, metadata: (nodes + 5) * 4096 + 4095 });
    assert.equal(state.metadata.superblock.chunks, 150);
    assert.equal(state.metadata.chunks.limit, 150);
    assert.equal(state.metadata.superblock.nodes, nodes + 5);
    assert.deepEqual(kindsOf(events), ['extended', 'extended']);
    for (const to of [{ data: 149 * BLOCK }, { metadata: 4096 * nodes }])
      await assert.rejects(extender.extend(to), { code: 'invalid-argument' });
    await closeState(state);
  });

  it('has the room in its data before a chunk of it can be taken', async () => {
    const steps: string[] = [];
    const { state, extender } = await make(
      {},
      {
        growData: (chunks) => {
          steps.push(`grow to ${chunks} at ${state.metadata.chunks.limit}`);
          return Promise.resolve(() => {
            steps.push(`settle at ${state.metadata.superblock.chunks}, ${state.metadata.chunks.limit}`);
            return Promise.resolve();
          });
        },
      },
    );
    await extender.extend({ data: 200 * BLOCK });
    assert.deepEqual(steps, ['grow to 200 at 100', 'settle at 200, 100']);
    assert.equal(state.metadata.chunks.limit, 200);
    await closeState(state);
  });

  it('does not grow where its data cannot', async () => {
    const growData = (): Promise<never> => Promise.reject(new ThinError('no-space', 'the disk is no larger'));
    const { state, extender, events } = await make({}, { growData });
    await assert.rejects(extender.extend({ data: 200 * BLOCK }), { code: 'no-space' });
    assert.equal(state.metadata.superblock.chunks, BLOCKS);
    assert.deepEqual(events, []);
    await closeState(state);
  });

  it('grows by itself until no more than the threshold is in use', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 50, max: 99 }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(4 * BLOCKS),
        async (autoextendThreshold, autoextendPercent, used) => {
          const { state, extender } = await make({ autoextendThreshold, autoextendPercent });
          const isOver = used * 100 > BLOCKS * autoextendThreshold;
          assert.equal(extender.wants({ data: used, metadata: 0 }), isOver);
          assert.equal(await extender.auto({ data: used, metadata: 0 }), isOver);
          const { chunks } = state.metadata.superblock;
          assert.ok(used * 100 <= chunks * autoextendThreshold);
          // The last step was needed.
          const before = Math.ceil(chunks / (1 + autoextendPercent / 100));
          if (isOver) assert.ok(used * 100 > (before - 1) * autoextendThreshold, `${chunks} for ${used}`);
          else assert.equal(chunks, BLOCKS);
          await closeState(state);
        },
      ),
      { numRuns: 20 },
    );
  });

  it('never grows by itself with a threshold of 100', async () => {
    const { state, extender } = await make({ autoextendThreshold: 100 });
    assert.equal(await extender.auto({ data: BLOCKS, metadata: 0 }, 'data'), false);
    await closeState(state);
  });

  it('tells once that it cannot grow, and tries again when more or less is in use', async () => {
    let free = 0;
    const { state, extender, events } = await make({ autoextendThreshold: 80 }, { dataFree: () => free });
    const used = { data: 90, metadata: 0 };
    assert.equal(await extender.auto(used), false);
    assert.equal(extender.wants(used), false);
    assert.equal(await extender.auto(used), false);
    assert.deepEqual(kindsOf(events), ['extend-failed']);
    assert.ok(extender.wants({ ...used, data: 91 }));
    // A writer that cannot go on has it tried at once.
    free = 2 ** 40;
    assert.equal(await extender.auto(used, 'data'), true);
    assert.deepEqual(kindsOf(events), ['extend-failed', 'extended']);
    await closeState(state);
  });

  it('grows to all that its disk has, and no more than it can address while it is open', async () => {
    const { state, extender } = await make({}, { dataFree: () => 50 * BLOCK });
    await extender.extend({ data: 'max' });
    assert.equal(state.metadata.superblock.chunks, BLOCKS);
    await closeState(state);
    const other = await make({}, { dataRoom: () => Promise.resolve(1000) });
    await other.extender.extend({ data: 'max' });
    assert.equal(other.state.metadata.superblock.chunks, 1000);
    await closeState(other.state);
  });
});
