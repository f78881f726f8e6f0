import assert from 'node:assert/strict';
import fc from 'fast-check';
import { openPool } from '../../src/pool/pool.js';
import { frozenMetadata } from '../../src/pool/pool-tools.js';
import { repairPool } from '../../src/pool/repair-pool.js';
import { dump } from '../../src/thin-tools/dump.js';
import { CrashStore } from '../support/crash-store.js';
import { FUZZ_SCENES, onlyRejects } from '../support/fuzzing.js';
import { MemoryStore, type MemoryTree } from '../support/memory-store.js';
import { contentsOf, history, poolOf, SMALL_NODES, textOf, type Contents } from '../support/random-pool.js';
import { BLOCK } from '../support/small-pool.js';

const injury = fc.record({
  how: fc.constantFrom('flip', 'cut', 'drop', 'swap'),
  at: fc.nat(),
  other: fc.nat(),
  where: fc.nat(),
});

function injured(
  store: MemoryStore,
  injuries: readonly { how: string; at: number; other: number; where: number }[],
): CrashStore {
  const hurt = new CrashStore(treeOf(store));
  for (const { how, at, other, where } of injuries) {
    const entries = hurt.dump();
    const [key, value] = entries[at % entries.length]!;
    if (how === 'flip' && value.length > 0) hurt.flipBit(key, where % (value.length * 8));
    else if (how === 'cut') hurt.truncate(key, where % (value.length + 1));
    else if (how === 'swap') hurt.swap(key, entries[other % entries.length]![0]);
    else hurt.drop(key);
  }
  return hurt;
}

function treeOf(store: MemoryStore): MemoryTree {
  const copy = new CrashStore();
  const tree = copy.contents;
  for (const [key, value] of store.dump()) tree.set(Buffer.from(key).toString('latin1'), value);
  return tree;
}

/** Every block reads as it was written, or as damaged. */
async function readAll(store: CrashStore, before: Contents): Promise<void> {
  const pool = await onlyRejects(['damaged', 'no-pool', 'wrong-version'], () =>
    openPool(store, { commitInterval: 0, limits: SMALL_NODES }),
  );
  if (pool === undefined) return;
  const into = new Uint8Array(512);
  for (const { name } of pool.devices()) {
    const file = await pool.activate(name);
    for (const [block, byte] of Buffer.from(before.get(name)!, 'hex').entries()) {
      const isRead = await onlyRejects(['damaged'], async () => {
        await file.read(block * BLOCK, into);
        return true;
      });
      if (isRead === true) assert.equal(into[0], byte, `block ${block} of ${name}`);
    }
  }
  await pool.check();
  await onlyRejects(['damaged', 'read-only', 'io'], () => pool.close());
}

describe('fuzz: damaged pools', function () {
  this.timeout(0);

  it('serve what was written or nothing, and everything that reads them comes to an end', () =>
    fc.assert(
      fc.asyncProperty(history, fc.array(injury, { minLength: 1, maxLength: 3 }), async (steps, injuries) => {
        const whole = await poolOf(steps);
        const before = await contentsOf(whole);
        const hurt = injured(whole, injuries);
        const contents = hurt.contents;
        await readAll(hurt, before);

        const frozen = frozenMetadata(new CrashStore(contents), {
          close: async () => undefined,
          limits: SMALL_NODES,
        });
        await onlyRejects(['damaged', 'no-pool', 'wrong-version'], async () =>
          textOf(dump(await frozen.salvage(), { format: 'xml', repair: true })),
        );
        for await (const step of frozen.scrub()) assert.ok(step.kind);

        const mended = new MemoryStore();
        const report = await onlyRejects(['damaged', 'wrong-version'], () =>
          repairPool(new CrashStore(contents), mended, { limits: SMALL_NODES }),
        );
        if (report === undefined) return;
        const after = await contentsOf(mended);
        for (const [name, bytes] of after)
          for (const [block, byte] of Buffer.from(bytes, 'hex').entries()) {
            const wrote = Buffer.from(before.get(name)!, 'hex')[block];
            assert.ok(byte === wrote || (byte === 0 && report.lost.length > 0), `block ${block} of ${name}`);
          }
        const pool = await openPool(mended.reopen(), { commitInterval: 0, limits: SMALL_NODES });
        assert.deepEqual((await pool.check()).findings, []);
        await pool.close();
      }),
      { numRuns: FUZZ_SCENES },
    ));
});
