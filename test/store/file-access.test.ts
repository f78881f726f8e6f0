import assert from 'node:assert/strict';
import { open, type FileHandle } from 'node:fs/promises';
import fc from 'fast-check';
import { chunkId } from '../../src/format/ids.js';
import { dataError, FileAccess, fileMemory, failureOf, noteFailure } from '../../src/store/file-access.js';
import { REMOTE } from '../../src/store/partial-memory.js';
import { useScratch } from '../support/mounts.js';

const SIZE = 64 * 1024;
const CHUNKS = 6;
const START = 4096;

const range = fc
  .tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: SIZE }))
  .map(([within, length]) => ({ within, length: Math.min(length, SIZE - within) }));

describe('chunks in a file', () => {
  const scratch = useScratch();
  let handle: FileHandle;
  let count = 0;

  beforeEach(async () => {
    handle = await open(scratch.current.at(`data${count++}`), 'w+');
    await handle.truncate(START + CHUNKS * SIZE);
  });

  afterEach(() => handle.close());

  function make(): FileAccess {
    return new FileAccess(fileMemory(handle.fd, { chunkSize: SIZE, chunks: CHUNKS, start: START }));
  }

  it('read as they were written, copied, written to and filled, in whatever order', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('overwrite' as const), of: fc.nat(20), ...{ at: range } }),
      fc.record({ kind: fc.constant('copy' as const), of: fc.nat(20), at: range }),
      fc.record({ kind: fc.constant('fill' as const), of: fc.nat(20), at: range }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const access = make();
        const model: Buffer[] = [];
        /** Chunks that others were copied from are shared from then on, and never written to. */
        const frozen = new Set<number>();
        access.provision(chunkId(0), 0, new Uint8Array(SIZE).fill(1), 0, SIZE, false);
        model.push(Buffer.alloc(SIZE, 1));
        for (const [n, { kind, of, at }] of steps.entries()) {
          const chunk = of % model.length;
          const bytes = Buffer.alloc(at.length, n + 2);
          if (kind === 'copy' && model.length < CHUNKS) {
            const made = chunkId(model.length);
            access.copy(chunkId(chunk), made, at.within, bytes, 0, at.length);
            model.push(Buffer.from(model[chunk]!));
            bytes.copy(model[made]!, at.within);
            frozen.add(chunk);
          } else if (kind === 'fill') access.fill(chunkId(chunk));
          else if (!frozen.has(chunk)) {
            access.overwrite(chunkId(chunk), at.within, bytes, 0, at.length);
            bytes.copy(model[chunk]!, at.within);
          }
        }
        for (const [chunk, wanted] of model.entries()) {
          const got = Buffer.alloc(SIZE);
          access.read(chunkId(chunk), 0, got, 0, SIZE);
          assert.ok(got.equals(wanted), `chunk ${chunk}`);
          const part = access.partOf(chunkId(chunk));
          // Never more than two chunks make one.
          if (part !== undefined) assert.equal(access.partOf(part.backing)?.backing, undefined);
        }
        // A range that runs through all of them.
        const all = Buffer.alloc(model.length * SIZE - 1000);
        access.read(chunkId(0), 1000, all, 0, all.length);
        assert.ok(all.equals(Buffer.concat(model).subarray(1000)));
      }),
      { numRuns: 40 },
    );
  });

  it('that are away are missing, and nothing of them is changed', () => {
    const access = make();
    const memory = fileMemory(handle.fd, { chunkSize: SIZE, chunks: CHUNKS, start: START });
    const away = new FileAccess(memory);
    Atomics.store(memory.partial.backings, 2, REMOTE);
    const bytes = new Uint8Array(SIZE).fill(5);
    assert.ok(away.isAway(2));
    assert.equal(away.read(chunkId(2), 0, bytes, 0, SIZE), 'missing');
    assert.equal(away.overwrite(chunkId(2), 0, bytes, 0, SIZE), 'missing');
    assert.equal(away.copy(chunkId(2), chunkId(3), 0, bytes, 0, 1), 'missing');
    const got = Buffer.alloc(SIZE, 1);
    access.read(chunkId(2), 0, got, 0, SIZE);
    assert.ok(got.equals(Buffer.alloc(SIZE)));
    away.land(chunkId(2), bytes);
    assert.ok(!away.isAway(2));
    away.read(chunkId(2), 0, got, 0, SIZE);
    assert.ok(got.equals(bytes));
  });

  it('fail with a damaged pool behind the end of the file, and with each sync from one that failed on', async () => {
    const memory = fileMemory(handle.fd, { chunkSize: SIZE, chunks: CHUNKS, start: START });
    const access = new FileAccess(memory);
    await handle.truncate(START + SIZE);
    assert.throws(() => access.read(chunkId(1), 0, new Uint8Array(SIZE), 0, SIZE), { code: 'damaged' });
    Atomics.store(memory.failed, 0, -28);
    assert.equal(access.sync(), false);
    assert.equal(failureOf(memory)?.code, 'no-space');
    noteFailure(memory, Object.assign(new Error('no'), { errno: -5 }));
    assert.equal(failureOf(memory)?.code, 'no-space');
    assert.equal(access.sync(), false);
    assert.equal(dataError(Object.assign(new Error('no'), { code: 'EIO' })).code, 'io');
  });
});
