import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import { MAX_CHUNKS } from '../../src/format/ids.js';
import { chunkCapacity, openChunks, zeroTail } from '../../src/pool/open-chunks.js';
import type { FileRange } from '../../src/store/file-chunks.js';
import { RequestEpochs } from '../../src/threads/request-epochs.js';
import { MemoryStore } from '../support/memory-store.js';
import { ScratchData } from '../support/scratch-data.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

describe('the chunks of a pool that is opened', () => {
  it('may become at least twice as many, as long as a pool can have them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_CHUNKS }), (chunks) => {
        const capacity = chunkCapacity({ chunks });
        assert.ok(capacity >= Math.min(MAX_CHUNKS, 2 * chunks) && capacity <= MAX_CHUNKS);
      }),
    );
  });

  it('are in the cache or in the file, by the kind of the pool', async () => {
    const parts = {
      epochs: new RequestEpochs(),
      commit: () => Promise.resolve(),
      zeroedFrom: undefined,
      compression: () => 'off' as const,
      fetch: () => Promise.resolve(),
    };
    const store = new MemoryStore();
    const state = await makePoolState(store);
    assert.equal(openChunks(store, state.metadata, {}, parts).memory.kind, 'cache');
    await closeState(state);
    const scratch = await ScratchData.make(64 * BLOCK);
    const data = await scratch.open();
    const direct = await makePoolState(new MemoryStore(), { kind: 'direct', blocks: 64, open: { data } });
    const chunks = openChunks(direct.store, direct.metadata, { data }, parts);
    assert.equal(chunks.memory.kind, 'file');
    await closeState(direct);
    await scratch.remove();
  });
});

describe('what lies behind the last chunk in use', () => {
  const START = 2 ** 20;
  let scratch: ScratchData;

  beforeEach(async () => {
    scratch = await ScratchData.make(64 * BLOCK);
  });

  afterEach(() => scratch.remove());

  async function tailOf(
    punch: ((ranges: readonly FileRange[]) => Promise<void>) | undefined,
    needsCheck = false,
  ): Promise<number | undefined> {
    const data = { ...(await scratch.open()), start: START, punch };
    const state = await makePoolState(new MemoryStore(), { kind: 'direct', blocks: 64, open: { data } });
    await activate(state, BASE_NAME).write(0, new Uint8Array(5 * BLOCK).fill(1));
    await state.commit();
    if (needsCheck) state.metadata.noteNeedsCheck();
    try {
      return await zeroTail(state.metadata, { data });
    } finally {
      await closeState(state);
    }
  }

  it('is punched out, to the end of the data', async () => {
    const punched: FileRange[] = [];
    const from = await tailOf((ranges) => {
      punched.push(...ranges);
      return Promise.resolve();
    });
    assert.ok(from !== undefined && from >= 5);
    assert.deepEqual(punched, [{ offset: START + from * BLOCK, length: (64 - from) * BLOCK }]);
  });

  it('stays as it is where it cannot be punched, and where the counts may be wrong', async () => {
    assert.equal(await tailOf(undefined), undefined);
    assert.equal(await tailOf(() => Promise.reject(new Error('no such way'))), undefined);
    const never = (): Promise<never> => assert.fail('the last chunk in use is not known');
    assert.equal(await tailOf(never, true), undefined);
  });
});
