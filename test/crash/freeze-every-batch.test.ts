import assert from 'node:assert/strict';
import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashStore } from '../support/crash-store.js';
import {
  describeDifference,
  INITIAL_STATE,
  isSameState,
  readState,
  SectorWorkload,
  type PoolState,
} from '../support/sector-workload.js';
import { makeSmallPool } from '../support/small-pool.js';

const SEEDS = [1, 777];
const STEPS = 90;
const STEPS_AFTER = 12;
/** Small nodes and steps, so that few blocks make deep trees and a removal takes several commits. */
const OPEN: OpenPoolOptions = {
  commitInterval: 0,
  limits: { leaf: 4, internal: 4 },
  cachedNodes: 4,
  chunkCache: 0,
  reclaimStep: 2,
};

interface Run {
  readonly store: CrashStore;
  readonly pool: ThinPool;
  readonly work: SectorWorkload;
  readonly failure: unknown;
}

/** Works on a new pool until it is through or something fails. */
async function run(seed: number, prepare: (store: CrashStore) => void = () => undefined): Promise<Run> {
  const store = new CrashStore();
  const pool = await makeSmallPool(store, { open: OPEN });
  prepare(store);
  const work = new SectorWorkload(pool, INITIAL_STATE, seed, 'a');
  try {
    await work.run(STEPS);
    await pool.settle();
    return { store, pool, work, failure: undefined };
  } catch (failure) {
    return { store, pool, work, failure };
  }
}

/** Closing it can only fail; what it had running ends. */
async function abandon(pool: ThinPool): Promise<void> {
  await pool.close().catch(() => undefined);
}

/** How many batches there are is a matter of time: the last ones may not come in each run. */
function isReached({ store, failure }: Run, batch: number): boolean {
  return failure !== undefined || store.batchCount > batch;
}

async function assertClean(pool: ThinPool, when: string): Promise<void> {
  assert.deepEqual((await pool.check()).findings, [], when);
}

/** The state is as after one whole step between the last promised and the one in flight. */
function assertOneOf(found: PoolState, work: SectorWorkload, when: string): void {
  const candidates = work.history.slice(work.durable);
  assert.ok(
    candidates.some((state) => isSameState(found, state)),
    `${when}: ${candidates.map((state) => describeDifference(found, state)).join('; ')}`,
  );
}

async function recover(crashed: Run, seed: number, when: string): Promise<void> {
  const store = crashed.store.crash();
  const pool = await openPool(store, OPEN);
  await assertClean(pool, `${when}, as found`);
  const found = await readState(pool);
  assertOneOf(found, crashed.work, when);
  const work = new SectorWorkload(pool, found, seed, 'b');
  await work.run(STEPS_AFTER);
  await pool.settle();
  await assertClean(pool, `${when}, after more work`);
  assert.equal(pool.info().pendingDeletes, 0);
  const after = await readState(pool);
  assert.ok(isSameState(after, work.state), `${when}: ${describeDifference(after, work.state)}`);
  await pool.close();
}

for (const seed of SEEDS)
  describe(`a machine that stops at any batch (seed ${seed})`, () => {
    let first = 0;
    let batches = 0;

    before(async () => {
      const whole = await run(seed, (store) => (first = store.batchCount));
      assert.ifError(whole.failure);
      batches = whole.store.batchCount;
      const found = await readState(whole.pool);
      assert.ok(isSameState(found, whole.work.state), describeDifference(found, whole.work.state));
      await assertClean(whole.pool, 'undisturbed');
      await whole.pool.close();
    });

    it('comes back as some moment after its last flush, and works on', async function () {
      this.timeout(300_000);
      assert.ok(batches - first > 30, 'the work makes batches');
      for (let n = first; n < batches; n++) {
        const crashed = await run(seed, (store) => {
          store.freezeAt(n);
        });
        if (!isReached(crashed, n)) {
          await crashed.pool.close();
          continue;
        }
        assert.ok(crashed.store.frozen, `batch ${n} is reached`);
        await abandon(crashed.pool);
        await recover(crashed, seed + n, `stopped at batch ${n}`);
      }
    });

    for (const code of ['no-space', 'io'] as const)
      it(`turns read-only when a batch fails (${code}), reads on, and loses nothing it promised`, async function () {
        this.timeout(300_000);
        for (let n = first + (code === 'io' ? 1 : 0); n < batches; n += 3) {
          const when = `batch ${n} failed`;
          const failed = await run(seed, (store) => {
            store.failBatch(n, code);
          });
          const { pool, work, failure } = failed;
          if (!isReached(failed, n)) {
            await pool.close();
            continue;
          }
          assert.ok(failure instanceof ThinError, when);
          assert.ok([code, 'read-only'].includes(failure.code), `${when}: ${failure.message}`);
          assert.equal(pool.info().mode, 'ro', when);
          const base = await pool.activate(BASE_NAME);
          await assert.rejects(base.flush(), { code }, when);
          assert.throws(() => base.write(0, new Uint8Array(512).fill(1)), { code: 'read-only' }, when);
          await assert.rejects(pool.grow(BASE_NAME, 64 * 2 ** 20), { code: 'read-only' }, when);
          await assertReadsOn(pool, work, when);
          await abandon(pool);
          await recover(failed, seed + n, when);
        }
      });
  });

/** In memory is what was asked for, also what could not be kept. */
async function assertReadsOn(pool: ThinPool, work: SectorWorkload, when: string): Promise<void> {
  const found = await readState(pool);
  const [before, after] = [work.history.at(-2), work.state];
  for (const [name, sectors] of found) {
    const same = [before, after].some((state) => {
      const expected = state?.get(name);
      return expected !== undefined && Buffer.from(sectors).equals(expected);
    });
    assert.ok(same, `${when}: ${name} still reads as it did`);
  }
}
