import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createPool } from '../../src/pool/create-pool.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashFile } from '../support/crash-file.js';
import { assertClean, assertSectorsBetween } from '../support/crash-promise.js';
import { CrashStore } from '../support/crash-store.js';
import { useScratch } from '../support/mounts.js';
import {
  describeDifference,
  INITIAL_STATE,
  isSameState,
  readState,
  SectorWorkload,
} from '../support/sector-workload.js';
import { BLOCK, TEST_OPTIONS } from '../support/small-pool.js';

const BLOCKS = 144;
const STEPS = 40;
/** Where every batch and every sync has its turn: enough for dozens of both. */
const MANY_STEPS = 70;
const STEPS_AFTER = 10;
/** Small nodes and steps, so that few blocks make deep trees and a removal takes several commits. */
const OPEN: OpenPoolOptions = {
  commitInterval: 0,
  limits: { leaf: 4, internal: 4 },
  cachedNodes: 4,
  reclaimStep: 2,
};

/** Where a run ends: at a batch or a data sync, counted from 0; undefined: nowhere. */
type Stop = { readonly batch: number } | { readonly sync: number } | undefined;

interface Run {
  readonly store: CrashStore;
  readonly file: CrashFile;
  readonly pool: ThinPool;
  readonly work: SectorWorkload;
  readonly firstBatch: number;
  readonly failure: unknown;
}

describe('a direct pool whose machine loses its power', () => {
  const scratch = useScratch();
  let files = 0;

  function newFile(store: CrashStore, content: Buffer): CrashFile {
    return new CrashFile(scratch.current.at(`data-${files++}`), content, {
      isStopped: () => store.frozen,
      stop: () => {
        store.freeze();
      },
    });
  }

  const openWith = (store: CrashStore, { handle, punch }: CrashFile): Promise<ThinPool> =>
    openPool(store, { ...OPEN, data: { handle, punch, punchDelay: 0 } });

  /** Works on a new pool until it is through or the machine stops. */
  async function run(seed: number, steps: number, stop: Stop): Promise<Run> {
    const store = new CrashStore();
    await createPool(store, {
      path: 'memory',
      kind: 'direct',
      blockSize: BLOCK,
      dataSize: BLOCKS * BLOCK,
      metadataSize: 64 * 2 ** 20,
      options: TEST_OPTIONS,
    });
    const file = newFile(store, Buffer.alloc(BLOCKS * BLOCK));
    const pool = await openWith(store, file);
    const firstBatch = store.batchCount;
    if (stop !== undefined && 'batch' in stop) store.freezeAt(stop.batch);
    if (stop !== undefined && 'sync' in stop) file.stopAt(stop.sync);
    const work = new SectorWorkload(pool, INITIAL_STATE, seed, 'a');
    try {
      await work.run(steps);
      await pool.settle();
      return { store, file, pool, work, firstBatch, failure: undefined };
    } catch (failure) {
      return { store, file, pool, work, firstBatch, failure };
    }
  }

  /** @returns whether the run came as far as its stop */
  async function stopAndRecover(seed: number, steps: number, stop: Stop): Promise<boolean> {
    const stopped = await run(seed, steps, stop);
    const when = `seed ${seed}, ${steps} steps, stopped at ${JSON.stringify(stop)}`;
    const reached = stopped.store.frozen;
    if (!reached) assert.ifError(stopped.failure);
    const content = stopped.file.crash(seed);
    await stopped.pool.close().catch(() => undefined);
    await stopped.file.remove();
    const store = stopped.store.crash();
    const file = newFile(store, content);
    const pool = await openWith(store, file);
    await assertClean(pool, `${when}, as found`);
    const found = await readState(pool);
    assertSectorsBetween(found, stopped.work, when);
    const work = new SectorWorkload(pool, found, seed + 1, 'b');
    await work.run(STEPS_AFTER);
    await pool.settle();
    await assertClean(pool, `${when}, after more work`);
    const after = await readState(pool);
    assert.ok(isSameState(after, work.state), `${when}: ${describeDifference(after, work.state)}`);
    await pool.close();
    await file.remove();
    return reached;
  }

  it('keeps what was flushed at every batch and every data sync, and each sector old or new', async function () {
    this.timeout(300_000);
    const seed = 4;
    const whole = await run(seed, MANY_STEPS, undefined);
    assert.ifError(whole.failure);
    const [batches, syncs] = [whole.store.batchCount, whole.file.syncCount];
    await assertClean(whole.pool, 'undisturbed');
    await whole.pool.close();
    await whole.file.remove();
    assert.ok(batches - whole.firstBatch > 20 && syncs > 10, `${batches} batches, ${syncs} syncs`);
    // How many there are is a matter of time: the last ones may not come in each run.
    for (let batch = whole.firstBatch; batch < batches; batch++)
      if (!(await stopAndRecover(seed, MANY_STEPS, { batch })))
        assert.ok(batch > 0.8 * batches, `batch ${batch} of ${batches} is reached`);
    for (let sync = 0; sync < syncs; sync++)
      if (!(await stopAndRecover(seed, MANY_STEPS, { sync })))
        assert.ok(sync > 0.8 * syncs, `sync ${sync} of ${syncs} is reached`);
  });

  it('does so whatever the work, wherever it stops', async function () {
    this.timeout(300_000);
    const stops = fc.oneof(
      fc.record({ batch: fc.integer({ min: 3, max: 60 }) }),
      fc.record({ sync: fc.integer({ min: 0, max: 40 }) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 2 ** 30 }),
        fc.integer({ min: 1, max: STEPS }),
        stops,
        async (seed, steps, stop) => {
          await stopAndRecover(seed, steps, stop);
        },
      ),
      { numRuns: Number(process.env['THINFUSE_POWER_CUTS'] ?? 15) },
    );
  });
});
