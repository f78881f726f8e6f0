import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { Journal } from '../../src/store/journal.js';
import { readJournal } from '../../src/store/read-journal.js';
import { CrashStore } from '../support/crash-store.js';
import { useScratch } from '../support/mounts.js';
import { PoolModel } from '../support/pool-model.js';
import { ScratchData } from '../support/scratch-data.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const BLOCKS = 12;
const SIZE = BLOCKS * BLOCK;
const POOL_BLOCKS = 256;

type Step =
  | { do: 'write' | 'discard' | 'zero'; which: number; offset: number; length: number; fill: number }
  | { do: 'snapshot' | 'remove'; which: number }
  | { do: 'commit' | 'die' | 'die-committing' };

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
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('commit' as const, 'die' as const, 'die' as const, 'die-committing' as const),
    }),
  },
);

describe('a pool whose process dies', () => {
  const scratch = useScratch();

  /** One pool through the lives of several processes. */
  class Lives {
    #data: ScratchData | undefined;
    #folder: string;
    #store = new CrashStore();
    #journal: Journal | undefined;
    readonly #ended: (() => Promise<void>)[] = [];
    pool!: ThinPool;

    constructor(data: ScratchData | undefined, folder: string) {
      this.#data = data;
      this.#folder = path.join(folder, 'journal');
    }

    async begin(): Promise<void> {
      this.#journal = await Journal.begin(this.#folder, BLOCK);
      this.pool = await makeSmallPool(this.#store, {
        kind: this.#data === undefined ? 'leveldb' : 'direct',
        blocks: POOL_BLOCKS,
        open: await this.#options(),
      });
    }

    async die({ committing }: { committing: boolean }): Promise<void> {
      if (committing) {
        this.#store.freezeAt(this.#store.batchCount);
        await this.pool.commit().catch(() => undefined);
      }
      // At one moment: what the old pool still does is seen by nobody.
      const store = new CrashStore(this.#store.contents);
      const folder = `${this.#folder}+`;
      cpSync(this.#folder, folder, { recursive: true });
      const data = this.#data?.fork();
      this.#later();
      this.#data = data;
      this.#store = store;
      this.#folder = folder;
      this.#journal = await Journal.begin(folder, BLOCK, await readJournal(folder));
      this.pool = await openPool(this.#store, await this.#options());
    }

    async end(): Promise<void> {
      await this.pool.close();
      this.#ended.pop();
      await assert.rejects(readJournal(this.#folder), { code: 'damaged' });
    }

    async clean(): Promise<void> {
      for (const step of this.#ended) await step().catch(() => undefined);
      await this.#data?.remove();
    }

    /** What a dead process would have let go of stays until the end: the old pool may still be at work here, and descriptors come back. */
    #later(): void {
      const [data, journal] = [this.#data, this.#journal];
      this.#ended.push(async () => {
        journal?.writer.close();
        await data?.remove();
      });
    }

    async #options(): Promise<OpenPoolOptions> {
      const small = { commitInterval: 0, stagedBytes: BLOCK, chunkCache: 0, journal: this.#journal };
      if (this.#data === undefined) return small;
      const data = await this.#data.open();
      this.#ended.push(() => data.handle.close());
      return { ...small, data };
    }
  }

  for (const kind of ['leveldb', 'direct'] as const)
    it(`has everything that it answered (${kind})`, async function () {
      this.timeout(300_000);
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
          const data = kind === 'direct' ? await ScratchData.make(POOL_BLOCKS * BLOCK) : undefined;
          const lives = new Lives(data, await scratch.current.folder('life'));
          try {
            await lives.begin();
            let model = new PoolModel(lives.pool, BASE_NAME, SIZE);
            let count = 0;
            for (const each of [...steps, { do: 'die' } as const]) {
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
        { numRuns: Number(process.env['THINFUSE_MODEL_RUNS'] ?? 40) },
      );
    });
});
