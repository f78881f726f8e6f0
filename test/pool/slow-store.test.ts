import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { PoolModel } from '../support/pool-model.js';
import { SlowStore } from '../support/slow-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const BLOCKS = 12;
const SIZE = BLOCKS * BLOCK;
/** So many devices have users at one time. */
const USERS = 4;

type Use = 'read' | 'write' | 'rewrite' | 'discard' | 'rest';

/** What the users of one device do at once: each has some blocks for himself. */
const uses = fc.array(
  fc.record({
    use: fc.constantFrom<Use>('read', 'read', 'write', 'rewrite', 'discard', 'rest'),
    blocks: fc.integer({ min: 1, max: 5 }),
    fill: fc.integer({ min: 1, max: 255 }),
  }),
  { minLength: 1, maxLength: 6 },
);

const round = fc.record({
  looks: fc.array(fc.record({ which: fc.nat(USERS - 1), offset: fc.nat(BLOCKS - 1) }), { maxLength: 8 }),
  devices: fc.array(uses, { minLength: 1, maxLength: USERS }),
  commits: fc.boolean(),
  then: fc.constantFrom('snapshot' as const, 'snapshot' as const, 'remove' as const, 'nothing' as const),
  which: fc.nat(1000),
});

describe('a pool whose store takes its time', () => {
  it('gives everybody what is his, whoever else reads, writes, discards and commits meanwhile', async function () {
    this.timeout(300_000);
    await fc.assert(
      fc.asyncProperty(
        fc.array(round, { minLength: 3, maxLength: 20 }),
        fc.infiniteStream(fc.nat(6)),
        async (rounds, turns) => {
          const store = new SlowStore(() => {
            const next = turns.next();
            return next.done === true ? 0 : next.value;
          });
          const pool = await makeSmallPool(store, {
            blocks: 256,
            open: { stagedBytes: BLOCK, chunkCache: 0 },
          });
          const model = new PoolModel(pool, BASE_NAME, SIZE);
          let count = 0;
          for (const { looks, devices, commits, then, which } of rounds) {
            const work: Promise<void>[] = [];
            const names = model.names.slice(-USERS);
            for (const { which, offset } of looks)
              work.push(look(model, names[which % names.length]!, offset * BLOCK));
            names.forEach((name, at) => work.push(...together(model, name, devices[at] ?? [])));
            if (commits) work.push(pool.commit());
            await Promise.all(work);
            const name = model.names[which % model.names.length]!;
            if (then === 'snapshot') await model.snapshot(name, `s${count++}` as DeviceName);
            if (then === 'remove' && name !== BASE_NAME) await model.remove(name);
          }
          await model.verify();
          await model.checkPool();
          await pool.close();
        },
      ),
      { numRuns: Number(process.env['THINFUSE_MODEL_RUNS'] ?? 60) },
    );
  });
});

function together(
  model: PoolModel,
  name: DeviceName,
  users: readonly { readonly use: Use; readonly blocks: number; readonly fill: number }[],
): Promise<void>[] {
  let block = 0;
  return users.flatMap(({ use, blocks, fill }) => {
    const offset = block * BLOCK;
    block = Math.min(BLOCKS, block + blocks);
    const length = block * BLOCK - offset;
    if (length === 0) return [];
    switch (use) {
      case 'read':
        return model.expect(name, offset, length);
      case 'write':
        return model.write(name, offset, new Uint8Array(length).fill(fill));
      case 'rewrite':
        // Part of a block: the rest of it comes from the store.
        return model.write(name, offset + 512, new Uint8Array(length - 1024).fill(fill));
      case 'discard':
        return model.discard(name, offset, length, BLOCK);
      case 'rest':
        return [];
    }
  });
}

/** Into what others are changing: it finds what was there, or what is. */
async function look({ pool }: PoolModel, name: DeviceName, offset: number): Promise<void> {
  const file = await pool.activate(name);
  await file.read(offset, new Uint8Array(SIZE - offset));
}
