import assert from 'node:assert/strict';
import { DirtyMap } from '../../src/threads/dirty-map.js';
import { cacheMemory, type CacheMemory } from '../../src/store/cache-access.js';
import { countHeld, moveFrames } from '../../src/store/move-frames.js';

const CHUNK = 4096;

/** Chunk n + 10 lies in frame n and is full of n + 1. */
function cache(frames: number, filled = frames): CacheMemory {
  const memory = cacheMemory({ chunkSize: CHUNK, chunks: 100, frames, mostDirty: 1000 });
  for (let frame = 0; frame < filled; frame++) {
    memory.owners[frame] = frame + 10;
    memory.index[frame + 10] = frame + 1;
    memory.frames.fill(frame + 1, frame * CHUNK, (frame + 1) * CHUNK);
  }
  return memory;
}

function contentOf(memory: CacheMemory, chunk: number): number | undefined {
  const frame = memory.index[chunk]! - 1;
  return frame < 0 ? undefined : memory.frames[frame * CHUNK];
}

const nothing = (): boolean => false;

describe('chunks that move to a cache of another size', () => {
  it('all come along where there is room', () => {
    const [from, to] = [cache(4), cache(8, 0)];
    assert.equal(moveFrames(from, to, { spare: 1, isHeld: nothing }).size, 4);
    assert.deepEqual(
      [10, 11, 12, 13].map((chunk) => contentOf(to, chunk)),
      [1, 2, 3, 4],
    );
  });

  it('come along first where a commit has to write them or has them on its way, then where they were touched', () => {
    const [from, to] = [cache(6), cache(4, 0)];
    from.changed[5] = 1;
    from.touched[3] = 1;
    const isHeld = (frame: number): boolean => frame === 4;
    assert.equal(countHeld(from, isHeld), 2);
    const moved = moveFrames(from, to, { spare: 1, isHeld });
    assert.deepEqual([...moved.keys()], [4, 5, 3]);
    assert.deepEqual(
      [10, 13, 14, 15].map((chunk) => contentOf(to, chunk)),
      [undefined, 4, 5, 6],
    );
  });

  it('come along past the spare frames where a commit needs them', () => {
    const [from, to] = [cache(3), cache(3, 0)];
    from.changed.fill(1);
    assert.equal(moveFrames(from, to, { spare: 2, isHeld: nothing }).size, 3);
  });

  it('stay marked for the next commit', () => {
    const [from, to] = [cache(3), cache(3, 0)];
    from.changed[2] = 5;
    new DirtyMap(from.dirty).mark(2);
    const moved = moveFrames(from, to, { spare: 0, isHeld: nothing });
    assert.deepEqual([...new DirtyMap(to.dirty).take()], [moved.get(2)]);
    assert.equal(to.changed[moved.get(2)!], 5);
  });

  it('leave out a frame whose chunk has gone to another', () => {
    const [from, to] = [cache(2), cache(2, 0)];
    from.index[10] = 0;
    assert.deepEqual([...moveFrames(from, to, { spare: 0, isHeld: nothing }).keys()], [1]);
  });
});
