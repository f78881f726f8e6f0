import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeviceName } from '../../src/format/ids.js';
import type { PoolKind } from '../../src/pool/info.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashMachines, type CrashMachine } from '../support/crash-machine.js';
import { assertClean } from '../support/crash-promise.js';
import { CrashStore } from '../support/crash-store.js';
import { AWAY, IMAGE, imageBlock, MemorySource } from '../support/memory-source.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK } from '../support/small-pool.js';

const NAME = 'pulled' as DeviceName;
const BLOCKS = 24;
const HAS = Array.from({ length: BLOCKS }, (_, block) => block).filter((block) => block % 5 !== 2);
const SECTOR = 512;

/** Bytes: so small that the work goes round several times. */
const RING = { leveldb: 3 * 2 ** 20, direct: 16 * 1024 };

type Step =
  | { readonly kind: 'read' | 'discard'; readonly block: number }
  | { readonly kind: 'write'; readonly at: number; readonly sectors: number; readonly byte: number }
  | { readonly kind: 'flush' | 'commit' | 'snapshot' | 'wait' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('read' as const), block: fc.nat(BLOCKS - 1) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      at: fc.nat((BLOCKS * BLOCK) / SECTOR - 300),
      sectors: fc.constantFrom(1, 8, 13, 128, 256),
      byte: fc.integer({ min: 251, max: 255 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('discard' as const), block: fc.nat(BLOCKS - 1) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('flush' as const, 'commit' as const, 'snapshot' as const, 'wait' as const),
    }),
  },
);

/** What a device may hold: of each sector, what was there at the last promise and what was put since. */
class Model {
  readonly now: Buffer;
  readonly #may: Set<number>[];

  constructor() {
    this.now = Buffer.concat(
      Array.from({ length: BLOCKS }, (_, block) =>
        HAS.includes(block) ? imageBlock(block) : Buffer.alloc(BLOCK),
      ),
    );
    this.#may = Array.from({ length: this.now.length / SECTOR }, () => new Set());
    this.promise();
  }

  put(at: number, sectors: number, byte: number): void {
    this.now.fill(byte, at * SECTOR, (at + sectors) * SECTOR);
    for (let sector = at; sector < at + sectors; sector++) this.#may[sector]!.add(byte);
  }

  /** What is there now stays. */
  promise(): void {
    for (const [sector, may] of this.#may.entries()) {
      may.clear();
      may.add(this.now[sector * SECTOR]!);
    }
  }

  assertMayBe(found: Buffer, when: string): void {
    for (const [sector, may] of this.#may.entries()) {
      const bytes = found.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      assert.ok(
        may.has(bytes[0]!) && bytes.every((byte) => byte === bytes[0]),
        `${when}: sector ${sector} is ${bytes[0]}, not one of ${[...may].join(' ')}`,
      );
    }
  }
}

describe('a pool with remote chunks', () => {
  const scratch = useScratch();
  const machines = new CrashMachines(scratch, 128);

  function open(machine: CrashMachine, remote: MemorySource): Promise<ThinPool> {
    const staged = machine.kind === 'leveldb' && { stagedBytes: 8 * BLOCK, chunkCache: 0 };
    return machine.open(RING, { commitInterval: 0, remote, ...staged });
  }

  async function carryOut(pool: ThinPool, model: Model, steps: readonly Step[]): Promise<void> {
    const image = await pool.activate(NAME);
    let snapshots = 0;
    for (const next of steps)
      switch (next.kind) {
        case 'read': {
          const into = Buffer.alloc(BLOCK);
          await image.read(next.block * BLOCK, into);
          assert.ok(into.equals(model.now.subarray(next.block * BLOCK, (next.block + 1) * BLOCK)));
          break;
        }
        case 'write':
          await image.write(next.at * SECTOR, Buffer.alloc(next.sectors * SECTOR, next.byte));
          model.put(next.at, next.sectors, next.byte);
          break;
        case 'discard':
          await image.discard(next.block * BLOCK, BLOCK);
          model.put((next.block * BLOCK) / SECTOR, BLOCK / SECTOR, 0);
          break;
        case 'flush':
          await image.flush();
          model.promise();
          break;
        case 'commit':
          await pool.commit();
          model.promise();
          break;
        case 'snapshot':
          await pool.createSnapshot({
            name: `s${snapshots++}` as DeviceName,
            origin: NAME,
            kind: 'snapshot',
          });
          model.promise();
          break;
        case 'wait':
          await new Promise(setImmediate);
          break;
      }
  }

  async function contents(pool: ThinPool): Promise<Buffer> {
    const into = Buffer.alloc(BLOCKS * BLOCK);
    await (await pool.activate(NAME)).read(0, into);
    return into;
  }

  async function crashAndFind(
    kind: PoolKind,
    end: 'process' | 'power',
    seed: number,
    steps: Step[],
  ): Promise<void> {
    const source = new MemorySource(HAS);
    const first = await machines.first(kind);
    const pool = await open(first, source);
    await pool.createThin({ name: NAME, kind: 'snapshot', size: BLOCKS * BLOCK, filesystem: 'xfs' });
    await pool.attachRemote(NAME, IMAGE);
    const model = new Model();
    await carryOut(pool, model, steps);
    if (end === 'process') model.promise();
    const left = end === 'process' ? first.killed() : first.crashed(seed);
    const later = end === 'process' ? new CrashStore(first.store.contents) : first.store.crash();
    await first.leave(pool);
    const second = machines.next(kind, later, end === 'process' ? 'first' : 'second', left);
    const gone = new MemorySource(HAS);
    gone.fault = () => AWAY;
    const found = await open(second, gone);
    assert.deepEqual(gone.asked, [], 'a start asks the store for nothing');
    await assertClean(found, 'as found');
    gone.fault = () => undefined;
    model.assertMayBe(await contents(found), `${kind}, ${end}`);
    await found.settle();
    await assertClean(found, 'after all was fetched');
    await second.leave(found);
  }

  for (const kind of ['leveldb', 'direct'] as const)
    for (const end of ['process', 'power'] as const)
      it(`keeps its promises without the store when its ${end} goes (${kind})`, async function () {
        this.timeout(300_000);
        await fc.assert(
          fc.asyncProperty(fc.nat(2 ** 30), fc.array(step, { minLength: 1, maxLength: 25 }), (seed, steps) =>
            crashAndFind(kind, end, seed, steps),
          ),
          { numRuns: Number(process.env['THINFUSE_POWER_CUTS'] ?? 8) },
        );
      });
});
