import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { logKey } from '../../src/format/keys.js';
import { LogKind, type LoggedAction } from '../../src/format/log-record.js';
import { packLogState } from '../../src/format/log-state.js';
import { LogWords } from '../../src/store/log-memory.js';
import { LogWriter, linesFor } from '../../src/store/log-writer.js';
import { acceptLog, leaveLog, PoolLog, readLogState } from '../../src/store/pool-log.js';
import { CrashStore } from '../support/crash-store.js';
import { FUZZ_RUNS } from '../support/fuzzing.js';
import { hurt, HOWS, injuries } from '../support/hurt-file.js';
import { useScratch } from '../support/mounts.js';

const BLOCK = 65536;
const RING = 2 ** 20;
const THREADS = 3;
const RUNS = Math.ceil(FUZZ_RUNS / 5);
/** Another thread's sync fails, as `LogWords.fail` notes it, and ends. */
const FAIL_SYNC = `const { words, running } = require('node:worker_threads').workerData;
Atomics.store(words, 3, 5);
Atomics.store(words, 0, 2);
Atomics.store(running, 5, 0);
Atomics.notify(running, 5);`;
const CHILD = fileURLToPath(new URL('../support/log-child.ts', import.meta.url));

interface Step {
  readonly thread: number;
  readonly bytes: number;
  readonly then: 'commit' | 'sync' | undefined;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    thread: fc.nat(THREADS - 1),
    // No payload, one in a page, one that crosses pages.
    bytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: BLOCK })),
    then: fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      { weight: 2, arbitrary: fc.constant('commit' as const) },
      { weight: 2, arbitrary: fc.constant('sync' as const) },
    ),
  }),
  { minLength: 1, maxLength: 60 },
);

describe('a log', () => {
  const scratch = useScratch();
  let folder: string;

  beforeEach(async () => {
    folder = await scratch.current.folder('log');
  });

  const openLog = (store: CrashStore, follows = false): Promise<PoolLog> =>
    PoolLog.open(folder, store, {
      uuid: 'pool',
      isDirect: false,
      ring: RING,
      follows,
      onNote: () => undefined,
    });

  /**
   * A process that does the steps and dies. @returns what was written down and is in no commit, by number: so
   * many bytes, filled with the number
   */
  async function write(store: CrashStore, all: readonly Step[]): Promise<Map<number, number>> {
    const log = await openLog(store);
    log.release();
    await log.begin(store);
    const writers = Array.from({ length: THREADS }, () => new LogWriter(log.memory));
    const left = new Map<number, number>();
    const commit = async (): Promise<void> => {
      const { position } = log;
      await store.batch(log.operations(position, position), { sync: true });
      log.committed(position);
      left.clear();
    };
    let number = 0;
    for (const { thread, bytes, then } of all) {
      number++;
      const lines = linesFor(bytes, 1);
      while (!writers[thread]!.reserve(lines)) await commit();
      if (bytes === 0) writers[thread]!.map(1, number, number, 1);
      else writers[thread]!.data(number, 0, new Uint8Array(bytes).fill(number % 251), 0, bytes);
      writers[thread]!.release(lines);
      left.set(number, bytes);
      if (then === 'commit') await commit();
      if (then === 'sync') assert.ok(await log.sync());
    }
    await log.close(undefined);
    return left;
  }

  function check(records: readonly LoggedAction[], left: ReadonlyMap<number, number>): void {
    assert.deepEqual(
      records.map(({ chunk, payload }) => [chunk, payload.length]),
      [...left],
    );
    for (const { chunk, payload } of records) assert.ok(payload.every((byte) => byte === chunk % 251));
  }

  async function leftOf(store: CrashStore): Promise<readonly LoggedAction[]> {
    const log = await openLog(store);
    const { left } = log;
    await log.close(undefined);
    return left;
  }

  /** As another machine, or this one after a stop, finds the same file. */
  async function moveMachine(store: CrashStore): Promise<void> {
    const state = readLogState(store)!;
    await store.batch([{ type: 'put', key: logKey, value: packLogState({ ...state, place: 'elsewhere' }) }], {
      sync: true,
    });
  }

  it('is not on the disk by a sync beside one that failed: the kernel tells one of them', async () => {
    const store = new CrashStore();
    const log = await openLog(store);
    log.release();
    await log.begin(store);
    log.writer.map(1, 1, 1, 1);
    const words = new LogWords(log.memory);
    let end = (): void => undefined;
    const beside = words.underWay.runInTurns(async () => {
      await new Promise<void>((resolve) => (end = resolve));
      words.fail(Object.assign(new Error('EIO'), { errno: -5 }));
    });
    const synced = log.sync();
    // As good as always, its own has ended by now.
    setTimeout(() => {
      end();
    }, 50);
    assert.equal(await synced, false);
    await beside;
    assert.equal(words.synced, 0);
    await log.close(undefined);
  });

  it('is not on the disk by the sync of a thread beside one of the pool thread that failed', async () => {
    const store = new CrashStore();
    const log = await openLog(store);
    log.release();
    await log.begin(store);
    log.writer.map(1, 1, 1, 1);
    const { words, underWay } = log.memory;
    Atomics.store(underWay.running, 5, 1);
    new Worker(FAIL_SYNC, { eval: true, workerData: { words, running: underWay.running } }).unref();
    assert.equal(log.writer.sync(), false);
    assert.equal(new LogWords(log.memory).synced, 0);
    await log.close(undefined);
  });

  it('gives back what was written and not committed, through any order of writes, syncs and commits', async () => {
    await fc.assert(
      fc.asyncProperty(steps, steps, async (first, second) => {
        await rm(path.join(folder, 'pool-log'), { force: true });
        const store = new CrashStore();
        check(await leftOf(store), new Map());
        const left = await write(store, first);
        check(await leftOf(store), left);
        // The next process has done it again, and begins a new epoch over it.
        const leftAgain = await write(store, second);
        check(await leftOf(store), leftAgain);
      }),
      { numRuns: RUNS },
    );
  });

  it('finds any damage to what counts of it', async function () {
    const found = new Set<string>();
    await fc.assert(
      fc.asyncProperty(steps, injuries, async (all, { how, at, length }) => {
        await rm(path.join(folder, 'pool-log'), { force: true });
        const store = new CrashStore();
        const left = await write(store, all);
        const file = path.join(folder, 'pool-log');
        // Mostly where there is something.
        const used = readFileSync(file).findLastIndex((byte) => byte !== 0);
        hurt(file, path.join(folder, 'log-mark'), { how, at: at % 4 === 0 ? at : at % (used + 1), length });
        let records: readonly LoggedAction[];
        try {
          records = await leftOf(store);
        } catch (error) {
          assert.ok(error instanceof ThinError, String(error));
          assert.equal(error.code, 'damaged');
          found.add(how);
          return;
        }
        check(records, left);
      }),
      { numRuns: 4 * RUNS },
    );
    assert.deepEqual([...found].sort(), [...HOWS].sort(), 'each was found at least once');
  });

  it('takes an end that was not synced for one that a stop has torn, and one that was for damage', async () => {
    const store = new CrashStore();
    const step = { thread: 0, bytes: 5000, then: undefined };
    await write(store, [step, { ...step, then: 'sync' }, step, step]);
    await moveMachine(store);
    const file = path.join(folder, 'pool-log');
    const whole = readFileSync(file);
    const at = (record: number): number => 4096 + record * (64 + 5056) + 100;
    const hurtAt = (record: number): void => {
      const bytes = Buffer.from(whole);
      bytes[at(record)]! ^= 1;
      writeFileSync(file, bytes);
    };
    hurtAt(2);
    check(await leftOf(store), new Map([1, 2].map((number) => [number, 5000])));
    hurtAt(3);
    check(await leftOf(store), new Map([1, 2, 3].map((number) => [number, 5000])));
    hurtAt(1);
    await assert.rejects(leftOf(store), {
      code: 'damaged',
      message: /it was synced up to byte 10240 .* up to 5120/,
    });
    // The mark alone tells it, and so do the records behind.
    await rm(path.join(folder, 'log-mark'));
    await assert.rejects(leftOf(store), { code: 'damaged', message: /it was synced up to byte 10240/ });
  });

  it('is refused, and not called damaged, with a record of a device that a newer thinfuse has written', async () => {
    const store = new CrashStore();
    const log = await openLog(store);
    await log.begin(store);
    assert.ok(log.writer.device({ kind: LogKind.CHANGE, device: 1, origin: 0, run: 3 }, new Uint8Array(9)));
    await log.close(undefined);
    await assert.rejects(leftOf(store), {
      code: 'wrong-version',
      message: /pool-log has a device's record in format 3/,
    });
  });

  it('is refused where it is missing, older or of another pool, until somebody accepts that', async () => {
    const store = new CrashStore();
    const file = path.join(folder, 'pool-log');
    const step = { thread: 0, bytes: 5000, then: 'sync' as const };
    await write(store, [step]);
    await copyFile(file, `${file}-before`);
    await write(store, [step, step]);
    await copyFile(file, `${file}-now`);
    await copyFile(`${file}-before`, file);
    await assert.rejects(leftOf(store), { code: 'damaged' });
    await moveMachine(store);
    await assert.rejects(leftOf(store), { code: 'damaged' }, 'of an older epoch, on another machine');
    await rm(file);
    await assert.rejects(leftOf(store), { code: 'damaged', message: /pool-log is missing/ });
    const other = new CrashStore();
    await write(other, [step]);
    await assert.rejects(leftOf(store), { code: 'damaged', message: /is an older one than the pool has/ });
    await store.batch([acceptLog(readLogState(store)!)], { sync: true });
    check(await leftOf(store), new Map());
    await copyFile(`${file}-now`, file);
    check(await leftOf(store), new Map([1, 2].map((number) => [number, 5000])));
  });

  it('finds that the store is an older copy, and takes no record of later for its own once that is accepted', async () => {
    const store = new CrashStore();
    const step = { thread: 0, bytes: 5000, then: 'sync' as const };
    await write(store, [step]);
    const before = store.contents;
    await write(store, [step, step]);
    const { epoch } = readLogState(store)!;
    const older = new CrashStore(before);
    await assert.rejects(leftOf(older), { code: 'damaged', message: /is an older copy than its log/ });
    await older.batch([leaveLog(readLogState(older)!)], { sync: true });
    const log = await openLog(older);
    assert.deepEqual(log.left, []);
    assert.equal(log.memory.epoch, epoch + 1);
    await log.close(undefined);
  });

  it('begins anew with a store that knows nothing of it, as after a restore', async () => {
    const step = { thread: 0, bytes: 5000, then: 'sync' as const };
    const before = new CrashStore();
    for (let round = 0; round < 3; round++) await write(before, [step, step]);
    const restored = new CrashStore();
    check(await leftOf(restored), new Map());
    const written = await write(restored, [step]);
    check(await leftOf(restored), written);
    assert.notEqual(readLogState(restored)?.id, readLogState(before)?.id);
  });

  it('is made anew without a word where nothing of it counts', async () => {
    const store = new CrashStore();
    const log = await openLog(store);
    await log.begin(store);
    log.writer.data(1, 0, new Uint8Array(10), 0, 10);
    await log.close(store);
    await rm(path.join(folder, 'pool-log'));
    check(await leftOf(store), new Map());
  });

  it('has everything that was written whenever its process is killed', async function () {
    this.timeout(180_000);
    for (let round = 0; round < 3; round++) {
      await rm(path.join(folder, 'pool-log'), { force: true });
      const child = scratch.current.start(process.execPath, ['--import', 'tsx', CHILD, folder], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const gone = once(child, 'close');
      let acknowledged = 0;
      let state = '';
      for await (const line of createInterface(child.stdout!)) {
        if (line.startsWith('state ')) state = line.slice(6);
        else acknowledged = Number(line);
        if (acknowledged > 300 * (round + 1)) child.kill('SIGKILL');
      }
      await gone;
      const store = new CrashStore();
      await store.batch([{ type: 'put', key: logKey, value: Buffer.from(state, 'hex') }], { sync: true });
      const chunks = (await leftOf(store)).map(({ chunk }) => chunk);
      assert.ok(chunks.at(-1)! >= acknowledged, `${chunks.at(-1)} there, ${acknowledged} acknowledged`);
      chunks.forEach((chunk, i) => assert.equal(chunk, i + 1));
    }
  });
});
