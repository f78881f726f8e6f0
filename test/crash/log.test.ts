import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { PoolKind } from '../../src/pool/info.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashMachines, type CrashMachine } from '../support/crash-machine.js';
import { assertClean, assertSectorsBetween } from '../support/crash-promise.js';
import { CrashStore } from '../support/crash-store.js';
import { useScratch } from '../support/mounts.js';
import {
  describeDifference,
  INITIAL_STATE,
  isSameState,
  readState,
  SectorWorkload,
  type PoolState,
} from '../support/sector-workload.js';
import { BLOCK } from '../support/small-pool.js';

const BLOCKS = 144;
const STEPS = 40;
const STEPS_AFTER = 8;
/** Bytes: so small that the work goes round several times, and has to wait for room. */
const RING = { leveldb: 3 * 2 ** 20, direct: 8192 + 64 * 1024 };
const OPEN: OpenPoolOptions = {
  commitInterval: 0,
  limits: { leaf: 4, internal: 4 },
  cachedNodes: 4,
  reclaimStep: 2,
};

/** Where a run ends, counted from 0; undefined: nowhere. */
interface Stop {
  readonly at: 'batch' | 'log' | 'data';
  readonly n: number;
}

describe('a pool with a log', () => {
  const scratch = useScratch();
  const machines = new CrashMachines(scratch, BLOCKS);

  function open(machine: CrashMachine): Promise<ThinPool> {
    const staged = machine.kind === 'leveldb' && { stagedBytes: 4 * BLOCK, chunkCache: 0 };
    return machine.open(RING, { ...OPEN, ...staged });
  }

  interface Run {
    readonly machine: CrashMachine;
    readonly pool: ThinPool;
    readonly work: SectorWorkload;
    readonly failure: unknown;
  }

  async function run(kind: PoolKind, seed: number, steps: number, stop?: Stop): Promise<Run> {
    const machine = await machines.first(kind);
    const pool = await open(machine);
    const work = new SectorWorkload(pool, INITIAL_STATE, seed, 'a');
    if (stop?.at === 'batch') machine.store.freezeAt(machine.store.batchCount + stop.n);
    if (stop?.at === 'log') machine.log.file.stopAt(machine.log.file.syncCount + stop.n);
    if (stop?.at === 'data') machine.data!.stopAt(machine.data!.syncCount + stop.n);
    // Beside what follows: a batch takes in changes of devices from behind the place where it began.
    let beside: Promise<void> = Promise.resolve();
    try {
      for (let step = 0; step < steps; step++) {
        await work.step();
        if (step % 3 === 0) beside = pool.commit().catch(() => undefined);
        if (step % 6 === 0) await beside;
      }
      return { machine, pool, work, failure: undefined };
    } catch (failure) {
      return { machine, pool, work, failure };
    } finally {
      await beside;
    }
  }

  /**
   * The machine on which the pool opens in the end, after one start that stopped at that batch: what it had
   * done again is in the store in part.
   */
  async function lastStart(
    kind: PoolKind,
    machine: CrashMachine,
    seed: number,
    batch: number | undefined,
  ): Promise<CrashMachine> {
    if (batch === undefined) return machine;
    machine.store.freezeAt(machine.store.batchCount + batch);
    const pool = await open(machine).catch(() => undefined);
    const left = machine.crashed(seed + 2);
    const store = machine.store.crash();
    await machine.leave(pool);
    return machines.next(kind, store, 'third', left);
  }

  /**
   * @param again the batch of the next start at which the machine stops once more
   * @returns whether the run came as far as its stop
   */
  async function stopAndRecover(
    kind: PoolKind,
    seed: number,
    steps: number,
    stop: Stop,
    again?: number,
  ): Promise<boolean> {
    const stopped = await run(kind, seed, steps, stop);
    const when = `${kind}, seed ${seed}, ${steps} steps, stopped at ${JSON.stringify(stop)}, again at ${again}`;
    const reached = stopped.machine.store.frozen;
    if (!reached) assert.ifError(stopped.failure);
    const left = stopped.machine.crashed(seed);
    const store = stopped.machine.store.crash();
    await stopped.machine.leave(stopped.pool);
    const machine = await lastStart(kind, machines.next(kind, store, 'second', left), seed, again);
    const pool = await open(machine);
    await assertClean(pool, `${when}, as found`);
    const found = await readState(pool);
    assertBetween(found, stopped.work, kind, when);
    const work = new SectorWorkload(pool, found, seed + 1, 'b');
    await work.run(STEPS_AFTER);
    await pool.settle();
    await assertClean(pool, `${when}, after more work`);
    const after = await readState(pool);
    assert.ok(isSameState(after, work.state), `${when}: ${describeDifference(after, work.state)}`);
    await machine.leave(pool);
    return reached;
  }

  for (const kind of ['leveldb', 'direct'] as const) {
    it(`keeps what was synced at every batch and every sync (${kind})`, async function () {
      this.timeout(300_000);
      const seed = 11;
      const whole = await run(kind, seed, STEPS);
      assert.ifError(whole.failure);
      const counts = {
        batch: whole.machine.store.batchCount,
        log: whole.machine.log.file.syncCount,
        data: whole.machine.data?.syncCount ?? 0,
      };
      await assertClean(whole.pool, 'undisturbed');
      await whole.machine.leave(whole.pool);
      assert.ok(counts.batch > 12 && counts.log > 8, JSON.stringify(counts));
      for (const at of ['batch', 'log', 'data'] as const) {
        let n = 0;
        while (n < counts[at] && (await stopAndRecover(kind, seed, STEPS, { at, n }))) n++;
        assert.ok(at === 'data' || n > 5, `${n} stops at each ${at}`);
      }
    });

    it(`does so whatever the work (${kind})`, async function () {
      this.timeout(300_000);
      const at = fc.constantFrom<Stop['at'][]>(
        'batch',
        'log',
        ...(kind === 'direct' ? (['data'] as const) : []),
      );
      await fc.assert(
        fc.asyncProperty(
          fc.nat(2 ** 30),
          fc.integer({ min: 1, max: STEPS }),
          fc.record({ at, n: fc.nat(40) }),
          async (seed, steps, stop) => {
            await stopAndRecover(kind, seed, steps, stop);
          },
        ),
        { numRuns: Number(process.env['THINFUSE_POWER_CUTS'] ?? 15) },
      );
    });

    it(`takes the log over after a start that did so in part (${kind})`, async function () {
      this.timeout(300_000);
      await fc.assert(
        fc.asyncProperty(
          fc.nat(2 ** 30),
          fc.integer({ min: 10, max: STEPS }),
          fc.nat(30),
          fc.nat(6),
          async (seed, steps, n, again) => {
            await stopAndRecover(kind, seed, steps, { at: 'log', n }, again);
          },
        ),
        { numRuns: Number(process.env['THINFUSE_POWER_CUTS'] ?? 10) },
      );
    });

    it(`has everything that was answered when its process dies (${kind})`, async function () {
      this.timeout(300_000);
      await fc.assert(
        fc.asyncProperty(fc.nat(2 ** 30), fc.integer({ min: 1, max: STEPS }), async (seed, steps) => {
          const first = await run(kind, seed, steps);
          assert.ifError(first.failure);
          const left = first.machine.killed();
          const store = new CrashStore(first.machine.store.contents);
          await first.machine.leave(first.pool);
          const machine = machines.next(kind, store, 'first', left);
          const pool = await open(machine);
          await assertClean(pool, 'as found');
          const found = await readState(pool);
          assert.ok(isSameState(found, first.work.state), describeDifference(found, first.work.state));
          await machine.leave(pool);
        }),
        { numRuns: Number(process.env['THINFUSE_POWER_CUTS'] ?? 15) },
      );
    });
  }
});

/**
 * What is found is one moment since the last promise, or between two: a write that nobody synced may be there
 * in part. Of a `direct` pool, whose data no log has, each sector is as at such a moment.
 */
function assertBetween(found: PoolState, work: SectorWorkload, kind: PoolKind, when: string): void {
  const moments = work.history.slice(work.durable);
  if (kind === 'leveldb') {
    assert.ok(
      moments.some((moment, i) => isSameState(found, moment) || isWithin(found, moment, moments[i + 1])),
      `${when}: ${moments.map((moment) => describeDifference(found, moment)).join('; ')}`,
    );
    return;
  }
  assertSectorsBetween(found, work, when);
}

/** Each sector is as before or as after a step that changes no devices. */
function isWithin(found: PoolState, before: PoolState, after: PoolState | undefined): boolean {
  if (after === undefined || before.size !== found.size || after.size !== found.size) return false;
  return [...found].every(([name, sectors]) => {
    const [old, young] = [before.get(name), after.get(name)];
    if (old?.length !== sectors.length || young?.length !== sectors.length) return false;
    return sectors.every((byte, i) => byte === old[i] || byte === young[i]);
  });
}
