import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { jointExclusive } from '../../src/metadata/joint-exclusive.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import { OpenPoolTools } from '../../src/pool/pool-tools.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

describe('what several devices call their own together', () => {
  it('is what none of the others maps, whatever was written and snapshotted', async () => {
    const names = [BASE_NAME, 'a', 'b', 'c'] as DeviceName[];
    const device = fc.nat(names.length - 1);
    const step = fc.oneof(
      fc.record({ write: fc.nat(11), of: device }),
      fc.record({ snapshot: device, of: device }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(15), async (steps, chosen) => {
        const state = await makePoolState(new MemoryStore());
        const { metadata } = state;
        const snapshots = new PoolSnapshots(state);
        const exists = (at: number): boolean => metadata.devices.find(names[at]!) !== undefined;
        for (const one of steps)
          if (!exists(one.of)) continue;
          else if ('write' in one)
            await activate(state, names[one.of]!).write(one.write * BLOCK, new Uint8Array(BLOCK).fill(1));
          else if (!exists(one.snapshot))
            await snapshots.take(names[one.of]!, [{ name: names[one.snapshot]!, kind: 'snapshot' }]);
        await state.commit();
        const all = metadata.devices.all();
        const isChosen = (name: string): boolean => ((chosen >> names.indexOf(name as DeviceName)) & 1) === 1;
        const chunksOf = (which: typeof all): Set<number> =>
          new Set(
            which.flatMap(({ id }) => [...metadata.mappings(id, 0, Infinity)].map(({ chunk }) => chunk)),
          );
        const [going, staying] = [
          all.filter(({ name }) => isChosen(name)),
          all.filter(({ name }) => !isChosen(name)),
        ];
        const kept = chunksOf(staying);
        const wanted = [...chunksOf(going)].filter((chunk) => !kept.has(chunk)).length;
        const frozen = await new OpenPoolTools(state, {}).freeze();
        const view = await frozen.view();
        const found = await jointExclusive(
          metadata,
          view.nodes,
          going.map(({ root }) => root),
        );
        await frozen.close();
        assert.equal(found, wanted);
        await closeState(state);
      }),
      { numRuns: 40 },
    );
  });
});
