import assert from 'node:assert/strict';
import { chunkId, type ChunkId } from '../../src/format/ids.js';
import { RequestEpochs } from '../../src/threads/request-epochs.js';
import { LevelChunks } from '../../src/store/level-chunks.js';
import { MemoryStore } from '../support/memory-store.js';

const SIZE = 64 * 1024;

describe('chunks of a leveldb pool', () => {
  it('go to the store with the commit that has their mapping, and not with one before it', async () => {
    const counted = new Set<ChunkId>();
    const chunks = chunksWith({ isCounted: (chunk) => counted.has(chunk) });
    const data = new Uint8Array(SIZE).fill(7);
    for (const chunk of [3, 4]) chunks.access.provision(chunkId(chunk), 0, data, 0, SIZE);
    const puts = async (): Promise<number> => {
      chunks.prepare();
      const commit = chunks.collect([]);
      commit.settle();
      return (await commit.operations()).filter(({ type }) => type === 'put').length;
    };
    counted.add(chunkId(3));
    assert.equal(await puts(), 1);
    assert.ok(chunks.isDirty, 'the other one waits');
    counted.add(chunkId(4));
    assert.equal(await puts(), 1);
    assert.ok(!chunks.isDirty);
  });

  it('that come from a store elsewhere go there in small commits: the next waits once half of the room is taken', () => {
    let commits = 0;
    const chunks = chunksWith({
      isRemote: () => true,
      commit: () => {
        commits++;
        return Promise.resolve();
      },
    });
    const landed = Array.from({ length: 8 }, (_, chunk) =>
      chunks.land(chunkId(chunk), new Uint8Array(SIZE).fill(7), true),
    ).filter((room) => room === undefined).length;
    assert.equal(landed, 4, 'twice as many may wait for a commit where a local writer made them');
    assert.equal(commits, 4);
  });
});

function chunksWith({
  isCounted = () => true,
  isRemote = () => false,
  commit = () => Promise.resolve(),
}: {
  isCounted?: (chunk: ChunkId) => boolean;
  isRemote?: (chunk: ChunkId) => boolean;
  commit?: () => Promise<void>;
}): LevelChunks {
  return new LevelChunks(new MemoryStore(), {
    chunkSize: SIZE,
    chunks: 16,
    cacheBytes: 16 * SIZE,
    stagedBytes: 4 * SIZE,
    epochs: new RequestEpochs(),
    compression: () => 'off',
    partial: {
      backingOf: () => undefined,
      setPages: () => undefined,
      makeWhole: () => undefined,
      all: () => [],
    },
    remote: {
      isRemote,
      makeLocal: () => undefined,
      fetch: () => Promise.resolve(),
      all: () => [],
      damaged: () => [],
    },
    isCounted,
    commit,
  });
}
