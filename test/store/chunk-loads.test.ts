import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import { chunkId, type ChunkId } from '../../src/format/ids.js';
import { ChunkLoads, type LoadedChunk } from '../../src/store/chunk-loads.js';

interface Read {
  readonly chunk: ChunkId;
  readonly resolve: (loaded: LoadedChunk) => void;
  readonly reject: (error: unknown) => void;
}

const LOADED: LoadedChunk = { data: new Uint8Array(1), patched: 0 };

/** Loads whose reads end when a test says so. */
class Reads {
  readonly begun: Read[] = [];
  readonly placed: ChunkId[] = [];
  full: Promise<void> | undefined;
  readonly loads = new ChunkLoads({
    read: (chunk) => new Promise((resolve, reject) => this.begun.push({ chunk, resolve, reject })),
    place: (chunk) => {
      if (this.full === undefined) this.placed.push(chunk);
      return this.full;
    },
  });

  /** Ends those that have begun, and those that begin then. */
  async endAll(): Promise<void> {
    for (const { resolve } of this.begun) {
      resolve(LOADED);
      await nextTurn();
    }
  }
}

describe('chunks on their way from the store', () => {
  const one = chunkId(1);

  it('are read once, however many ask', async () => {
    const reads = new Reads();
    const both = Promise.all([reads.loads.bring(one), reads.loads.bring(one)]);
    await reads.endAll();
    await both;
    assert.deepEqual(reads.placed, [one]);
    void reads.loads.bring(one);
    assert.equal(reads.begun.length, 2, 'it may have been evicted since');
    await reads.endAll();
  });

  it('are few at a time', async () => {
    const reads = new Reads();
    const all = Array.from({ length: 40 }, (_, at) => reads.loads.bring(chunkId(at)));
    assert.ok(reads.begun.length < 10, `${reads.begun.length} reads`);
    await reads.endAll();
    await Promise.all(all);
    assert.equal(reads.placed.length, 40);
  });

  it('go nowhere when nothing maps them any more, whatever the store says', async () => {
    const reads = new Reads();
    const [gone, lost] = [reads.loads.bring(one), reads.loads.bring(chunkId(2))];
    reads.loads.forget(one);
    reads.loads.forget(chunkId(2));
    // Another chunk with that number.
    const next = reads.loads.bring(one);
    reads.begun[0]!.resolve(LOADED);
    reads.begun[1]!.reject(new ThinError('damaged', 'chunk 2: missing'));
    await Promise.all([gone, lost]);
    assert.deepEqual(reads.placed, []);
    reads.begun[2]!.resolve(LOADED);
    await next;
    assert.deepEqual(reads.placed, [one]);
  });

  it('say what the store says of one that is wanted, each time', async () => {
    const reads = new Reads();
    for (let time = 0; time < 2; time++) {
      const failing = reads.loads.bring(one);
      reads.begun[time]!.reject(new ThinError('damaged', 'chunk 1: missing'));
      await assert.rejects(failing, { code: 'damaged' });
    }
  });

  it('wait for room', async () => {
    const reads = new Reads();
    let makeRoom = (): void => undefined;
    reads.full = new Promise((resolve) => (makeRoom = resolve));
    const waiting = reads.loads.bring(one);
    await reads.endAll();
    assert.deepEqual(reads.placed, []);
    reads.full = undefined;
    makeRoom();
    await waiting;
    assert.deepEqual(reads.placed, [one]);
  });
});
