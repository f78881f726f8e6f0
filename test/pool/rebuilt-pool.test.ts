import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import { deviceId, virtualBlock } from '../../src/format/ids.js';
import { checkPool } from '../../src/metadata/check.js';
import { openMetadata } from '../../src/metadata/open-metadata.js';
import { RemoteTable } from '../../src/metadata/remote-table.js';
import { TreeBuilder } from '../../src/metadata/tree-builder.js';
import { openStored } from '../../src/pool/open-stored.js';
import { rebuiltOperations } from '../../src/pool/rebuilt-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { ScratchData } from '../support/scratch-data.js';
import { activate, BLOCK, makePoolState } from '../support/small-pool.js';

const CHUNKS = 64;
const mappings = fc
  .uniqueArray(fc.record({ block: fc.nat(11), chunk: fc.nat(CHUNKS - 1) }), {
    selector: ({ block }) => block,
  })
  .map((some) => some.sort((a, b) => a.block - b.block));

describe('metadata that was built anew', () => {
  it('takes the place of all that was there, and is sound', async () => {
    const scratch = await ScratchData.make(CHUNKS * BLOCK);
    await fc.assert(
      fc.asyncProperty(mappings, mappings, async (one, two) => {
        const store = new MemoryStore();
        const open = { data: await scratch.open() };
        const state = await makePoolState(store, { kind: 'direct', blocks: CHUNKS, open });
        await activate(state, BASE_NAME).write(0, new Uint8Array(7 * BLOCK).fill(1));
        await state.commit();
        const { superblock, devices } = state.metadata;
        const base = devices.find(BASE_NAME)!;
        const builder = new TreeBuilder(superblock.nodes);
        const records = [one, two].map((blocks, at) => {
          for (const { block, chunk } of blocks) builder.add(block, chunk, 0);
          const mapped = builder.added;
          const id = deviceId(at + 1);
          const name = at === 0 ? base.name : ('two' as typeof base.name);
          return { ...base, id, name, family: id, root: builder.finish(), mapped, exclusive: 0 };
        });
        const operations = await rebuiltOperations(store, {
          superblock: { ...superblock, lastDeviceId: deviceId(2) },
          options: state.options,
          devices: records,
          builder,
          remote: new RemoteTable(),
        });
        await store.batch(operations, { sync: true });
        assert.deepEqual((await checkPool(store)).findings, []);
        assert.deepEqual((await openStored(store, {})).damage, []);
        const metadata = await openMetadata(store);
        for (const [at, blocks] of [one, two].entries())
          for (const { block, chunk } of blocks)
            assert.equal(metadata.lookup(deviceId(at + 1), virtualBlock(block)), chunk);
        await state.plane.chunks.close();
      }),
      { numRuns: 30 },
    );
    await scratch.remove();
  });
});
