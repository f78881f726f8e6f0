import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeviceName } from '../../src/format/ids.js';
import { attachRemote } from '../../src/pool/attach-remote.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { IMAGE } from '../support/memory-source.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, closeState, makePoolState } from '../support/small-pool.js';

/** Image blocks of the device. */
const BLOCKS = 64;

function makeDevice(state: PoolState): ReturnType<PoolState['metadata']['createThin']> {
  return state.metadata.createThin({
    name: 'pulled' as DeviceName,
    kind: 'snapshot',
    size: BLOCKS * BLOCK,
    createdAt: 0,
    filesystem: 'xfs',
  });
}

async function* inParts(numbers: readonly number[], each: number): AsyncGenerator<Uint32Array> {
  for (let at = 0; at < numbers.length; at += each) {
    await Promise.resolve();
    yield Uint32Array.from(numbers.slice(at, at + each));
  }
}

describe('attaching a remote image', () => {
  it('maps one remote chunk for each chunk of which the image has a block, and no other', async () => {
    const numbers = fc.uniqueArray(fc.nat(BLOCKS - 1)).map((some) => some.sort((a, b) => a - b));
    await fc.assert(
      fc.asyncProperty(
        numbers,
        fc.constantFrom(1, 2, 4),
        fc.integer({ min: 1, max: 9 }),
        async (...given) => {
          const [blocks, blocksEach, part] = given;
          const state = await makePoolState(new MemoryStore(), { blockSize: blocksEach * BLOCK });
          const { id } = makeDevice(state);
          const { image, chunks } = await attachRemote(state, id, IMAGE, inParts(blocks, part));
          const wanted = new Set(blocks.map((block) => Math.floor(block / blocksEach)));
          const mapped = [...state.metadata.mappings(id, 0, Infinity)];
          assert.deepEqual(new Set(mapped.map(({ block }) => block as number)), wanted);
          assert.equal(chunks, wanted.size);
          assert.equal(state.metadata.remote.count, wanted.size);
          for (const { block, chunk } of mapped) {
            assert.deepEqual(state.metadata.remote.get(chunk), { image, block: block * blocksEach });
            assert.ok(state.plane.chunks.isAway(chunk));
          }
          await closeState(state);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('refuses blocks behind the end of the device, and leaves no image without chunks', async () => {
    const state = await makePoolState(new MemoryStore());
    const { id } = makeDevice(state);
    await assert.rejects(attachRemote(state, id, IMAGE, inParts([BLOCKS], 1)), { code: 'invalid-argument' });
    assert.deepEqual(state.metadata.remote.images(), []);
    await closeState(state);
  });

  it('ends where the pool has no more chunks', async () => {
    const state = await makePoolState(new MemoryStore(), { blocks: 16, options: { baseSize: BLOCK } });
    const { id } = makeDevice(state);
    const all = Array.from({ length: BLOCKS }, (_, block) => block);
    await assert.rejects(attachRemote(state, id, IMAGE, inParts(all, 5)), { code: 'no-space' });
    assert.equal(state.metadata.devices.get(id).mapped, 16);
    await closeState(state);
  });

  it('ends where the device is removed meanwhile', async () => {
    const state = await makePoolState(new MemoryStore());
    const { id } = makeDevice(state);
    async function* removing(): AsyncGenerator<Uint32Array> {
      yield Uint32Array.of(0);
      await Promise.resolve();
      state.metadata.removeDevice(id);
      yield Uint32Array.of(1);
    }
    await assert.rejects(attachRemote(state, id, IMAGE, removing()), { code: 'not-found' });
    await closeState(state);
  });
});
