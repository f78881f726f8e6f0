import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { redoLog } from '../../src/pool/redo-log.js';
import { repairPool } from '../../src/pool/repair-pool.js';
import { PoolLog, salvageLog } from '../../src/store/pool-log.js';
import { CrashLog, type LogContents } from '../support/crash-log.js';
import { CrashStore } from '../support/crash-store.js';
import { useScratch } from '../support/mounts.js';
import { PoolModel } from '../support/pool-model.js';
import { ScratchData } from '../support/scratch-data.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const BLOCKS = 12;
const SIZE = BLOCKS * BLOCK;
const POOL_BLOCKS = 256;
const RUNS = Number(process.env['THINFUSE_MODEL_RUNS'] ?? 40);
const SMALL = { commitInterval: 0, stagedBytes: BLOCK, chunkCache: 0 };

type Step =
  | { do: 'write' | 'discard' | 'zero'; which: number; offset: number; length: number; fill: number }
  | { do: 'snapshot' | 'remove'; which: number }
  | { do: 'commit' | 'die' | 'die-committing' }
  | { do: 'repair'; older: number };

const which = fc.nat(1000);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'write' as const,
        'write' as const,
        'write' as const,
        'discard' as const,
        'zero' as const,
      ),
      which,
      offset: fc.integer({ min: 0, max: SIZE / 512 - 1 }).map((sector) => sector * 512),
      // Short ones make partial chunks, long ones make runs.
      length: fc
        .oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: (4 * BLOCK) / 512 }))
        .map((sectors) => sectors * 512),
      fill: fc.integer({ min: 0, max: 255 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('snapshot' as const, 'snapshot' as const, 'remove' as const),
      which,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('repair' as const),
      older: fc.constantFrom(0, 0, 0.3, 0.6, 1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('commit' as const, 'die' as const, 'die' as const, 'die-committing' as const),
    }),
  },
);

/** What random ones have found. */
const FOUND: readonly Step[][] = [
  // The removal of a device frees the chunk that the next write takes, in commits that the store then lacks.
  [
    { do: 'snapshot', which: 0 },
    { do: 'write', which: 1, offset: 0, length: 512, fill: 1 },
    { do: 'die' },
    { do: 'remove', which: 1 },
    { do: 'commit' },
    { do: 'commit' },
    { do: 'write', which: 0, offset: 0, length: 512, fill: 1 },
  ],
  // A partial chunk gets the last of its pages, and is then what another one is made of.
  [
    { do: 'write', which: 0, offset: 0, length: 512, fill: 1 },
    { do: 'snapshot', which: 0 },
    { do: 'write', which: 1, offset: 0, length: 512, fill: 0 },
    { do: 'write', which: 0, offset: 0, length: 16896, fill: 0 },
    { do: 'snapshot', which: 1 },
    { do: 'die' },
    { do: 'write', which: 1, offset: 0, length: 512, fill: 0 },
  ],
];

describe('a pool whose process dies', () => {
  const scratch = useScratch();

  /** One pool through the lives of several processes. */
  class Lives {
    #data: ScratchData | undefined;
    readonly #folder: string;
    #count = 0;
    #store = new CrashStore();
    #log: CrashLog | undefined;
    /** Batches of this process before its log began. */
    #begun = 0;
    readonly #ended: (() => Promise<void>)[] = [];
    pool!: ThinPool;

    constructor(data: ScratchData | undefined, folder: string) {
      this.#data = data;
      this.#folder = folder;
    }

    async begin(): Promise<void> {
      const made = await makeSmallPool(this.#store, {
        kind: this.#data === undefined ? 'leveldb' : 'direct',
        blocks: POOL_BLOCKS,
        open: await this.#options(),
      });
      await made.close();
      if (this.#data !== undefined) this.#ended.pop();
      this.#store = new CrashStore(this.#store.contents);
      this.pool = await this.#open(undefined);
    }

    async die({ committing }: { committing: boolean }): Promise<void> {
      if (committing) {
        this.#store.freezeAt(this.#store.batchCount);
        await this.pool.commit().catch(() => undefined);
      }
      // At one moment: what the old pool still does is seen by nobody.
      const store = new CrashStore(this.#store.contents);
      const left = this.#log!.left();
      const data = this.#data?.fork();
      this.#later();
      this.#data = data;
      this.#store = store;
      this.pool = await this.#open(left);
    }

    /**
     * What a repair makes of what the process leaves.
     * @param older so much of the commits since it began is missing in the store; 1 is all of them
     */
    async repaired(older: number): Promise<{ pool: ThinPool; clean: () => Promise<void> }> {
      const from = new CrashStore(
        this.#store.without(Math.floor(older * (this.#store.batches.length - this.#begun))),
      );
      const left = this.#log!.left();
      const data = this.#data?.fork();
      const options = async (): Promise<OpenPoolOptions> =>
        data === undefined ? SMALL : { ...SMALL, data: await data.open() };
      const { uuid, kind, blockSize, chunks } = readSuperblock(from);
      const label = { uuid, blockSize, chunks, preallocated: false, start: 0, last: 0, maker: '' };
      const to = new CrashStore();
      const repaired = await repairPool(from, to, data === undefined ? {} : { data: label });
      assert.deepEqual(repaired.lost, []);
      const machine = { isStopped: () => false, stop: () => undefined };
      const files = new CrashLog(`${this.#folder}/${this.#count++}`, 'here', machine, left);
      const log = await salvageLog('memory', from, { uuid, isDirect: kind === 'direct', files });
      await files.remove();
      assert.equal(log?.problem, undefined);
      if (log !== undefined) {
        const { lost } = await redoLog(to, log.records, {
          ...(await options()),
          changed: log.state.changed,
          isLost: () => false,
          lostChunks: repaired.lostChunks,
        });
        assert.deepEqual(lost, []);
      }
      const pool = await openPool(to, await options());
      return {
        pool,
        clean: async () => {
          await pool.close();
          await data?.remove();
        },
      };
    }

    async end(): Promise<void> {
      await this.pool.close();
      if (this.#data !== undefined) this.#ended.pop();
    }

    async clean(): Promise<void> {
      for (const step of this.#ended) await step().catch(() => undefined);
      await this.#log?.remove();
      await this.#data?.remove();
    }

    /**
     * What a dead process would have let go of stays until the end: the old pool may still be at work here,
     * and descriptors come back.
     */
    #later(): void {
      const [data, log] = [this.#data, this.#log];
      this.#ended.push(async () => {
        await log?.remove();
        await data?.remove();
      });
    }

    async #open(left: LogContents | undefined): Promise<ThinPool> {
      const at = `${this.#folder}/${this.#count++}`;
      const machine = { isStopped: () => false, stop: () => undefined };
      this.#log = new CrashLog(at, 'here', machine, left);
      const log = await PoolLog.open('memory', this.#store, {
        uuid: readSuperblock(this.#store).uuid,
        isDirect: this.#data !== undefined,
        ring: 2 ** 20,
        follows: left !== undefined,
        onNote: () => undefined,
        files: this.#log,
      });
      const pool = await openPool(this.#store, { ...(await this.#options()), log });
      this.#begun = this.#store.batches.length;
      return pool;
    }

    async #options(): Promise<OpenPoolOptions> {
      if (this.#data === undefined) return SMALL;
      const data = await this.#data.open();
      this.#ended.push(() => data.handle.close());
      return { ...SMALL, data };
    }
  }

  for (const kind of ['leveldb', 'direct'] as const)
    it(`has everything that it answered (${kind})`, async function () {
      this.timeout(RUNS * 10_000);
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
          const data = kind === 'direct' ? await ScratchData.make(POOL_BLOCKS * BLOCK) : undefined;
          const lives = new Lives(data, await scratch.current.folder('life'));
          try {
            await lives.begin();
            let model = new PoolModel(lives.pool, BASE_NAME, SIZE);
            let count = 0;
            for (const each of [...steps, { do: 'repair', older: 1 } as const, { do: 'die' } as const]) {
              const names = model.names;
              switch (each.do) {
                case 'write':
                case 'discard':
                case 'zero': {
                  const name = names[each.which % names.length]!;
                  const length = Math.min(each.length, SIZE - each.offset);
                  if (each.do === 'write')
                    await model.write(name, each.offset, new Uint8Array(length).fill(each.fill));
                  else if (each.do === 'zero') await model.writeZeroes(name, each.offset, length);
                  else await model.discard(name, each.offset, length, BLOCK);
                  break;
                }
                case 'snapshot':
                  await model.snapshot(names[each.which % names.length]!, `s${count++}` as DeviceName);
                  break;
                case 'remove': {
                  const name = names[each.which % names.length]!;
                  if (name !== BASE_NAME) await model.remove(name);
                  break;
                }
                case 'commit':
                  await lives.pool.commit();
                  break;
                case 'repair': {
                  const repaired = await lives.repaired(each.older);
                  const onto = model.onto(repaired.pool);
                  await onto.verify();
                  await onto.checkPool();
                  await repaired.clean();
                  break;
                }
                case 'die':
                case 'die-committing':
                  await lives.die({ committing: each.do === 'die-committing' });
                  model = model.onto(lives.pool);
                  await model.verify();
              }
            }
            await model.checkPool();
            await lives.end();
          } finally {
            await lives.clean();
          }
        }),
        {
          numRuns: RUNS,
          examples: FOUND.map((steps) => [steps]),
        },
      );
    });
});
