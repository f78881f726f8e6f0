import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeviceName } from '../../src/format/ids.js';
import { attachRemote } from '../../src/pool/attach-remote.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import type { ImagePieces } from '../../src/pool/remote-source.js';
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

async function* inParts(
  numbers: readonly number[],
  each: number,
  gone: readonly number[] = [],
): AsyncGenerator<ImagePieces> {
  for (let at = 0; at < Math.max(numbers.length, gone.length); at += each) {
    await Promise.resolve();
    const part = (of: readonly number[]): Uint32Array => Uint32Array.from(of.slice(at, at + each));
    yield { changed: part(numbers), gone: part(gone) };
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
          const wanted = new Set(blocks.map((block) => Math.floor(block / blocksEach)));
          const { image, chunks } = await attachRemote(state, id, IMAGE, inParts([...wanted], part));
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

  it('changes a snapshot where its image differs, and leaves what both have and all of the origin', async () => {
    const state = await makePoolState(new MemoryStore());
    const { id } = makeDevice(state);
    const lower = await attachRemote(state, id, IMAGE, inParts([0, 1, 2, 3, 9], 2));
    const below = new Map(
      [...state.metadata.mappings(id, 0, Infinity)].map(({ block, chunk }) => [block, chunk]),
    );
    const above = state.metadata.createSnapshot(id, {
      name: 'above' as DeviceName,
      kind: 'image',
      size: BLOCKS * BLOCK,
      createdAt: 0,
      filesystem: 'xfs',
    });
    const other = { ...IMAGE, digest: 'cd'.repeat(32) };
    const upper = await attachRemote(state, above.id, other, inParts([1, 20], 1, [3, 9]));
    const mapped = [...state.metadata.mappings(above.id, 0, Infinity)];
    assert.deepEqual(
      mapped.map(({ block }) => block as number),
      [0, 1, 2, 20],
    );
    for (const { block, chunk } of mapped) {
      const isNew = block === 1 || block === 20;
      assert.equal(chunk === below.get(block), !isNew);
      assert.deepEqual(state.metadata.remote.get(chunk), { image: isNew ? upper.image : lower.image, block });
    }
    assert.equal([...state.metadata.mappings(id, 0, Infinity)].length, 5);
    assert.equal(state.metadata.remote.count, 7);
    await closeState(state);
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
    const gone = new Uint32Array(0);
    async function* removing(): AsyncGenerator<ImagePieces> {
      yield { changed: Uint32Array.of(0), gone };
      await Promise.resolve();
      state.metadata.removeDevice(id);
      yield { changed: Uint32Array.of(1), gone };
    }
    await assert.rejects(attachRemote(state, id, IMAGE, removing()), { code: 'not-found' });
    await closeState(state);
  });
});
