import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fieldTable } from '../../src/docker/device-fields.js';
import { reverseMap } from '../../src/metadata/reverse-map.js';
import { openView, type MetadataView } from '../../src/metadata/metadata-view.js';
import { restorePool } from '../../src/pool/restore-pool.js';
import { deltaText } from '../../src/thin-tools/delta-text.js';
import { rmapLines } from '../../src/thin-tools/rmap-text.js';
import type { MemoryStore } from '../support/memory-store.js';
import { useScratch } from '../support/mounts.js';
import { contentsOf, dumpOf, history, poolOf, reopen, SMALL_NODES, textOf } from '../support/random-pool.js';
import { BLOCK } from '../support/small-pool.js';
import { requireThinTools, restoredByThinTools, runThinTool } from '../support/thin-provisioning-tools.js';

const RUNS = Number(process.env['THINFUSE_TEST_RUNS'] ?? 5);

async function checked(store: MemoryStore): Promise<void> {
  const pool = await reopen(store);
  assert.deepEqual((await pool.check()).findings, []);
  await pool.close();
}

const viewOf = (store: MemoryStore): Promise<MetadataView> => openView(store, { limits: SMALL_NODES });

/**
 * Lines in the order of their data blocks, as they come; thin_rmap has no order for those that begin with the
 * same one.
 */
function linesByBlock(text: string): readonly (readonly string[])[] {
  const groups: string[][] = [];
  let last: string | undefined;
  for (const line of text.trimEnd().split('\n')) {
    const begin = /^data (\d+)/.exec(line)?.[1];
    if (begin === undefined || begin !== last) groups.push([]);
    last = begin;
    groups.at(-1)?.push(line);
  }
  return groups.map((lines) => lines.sort());
}

describe('metadata tools beside thin-provisioning-tools', function () {
  this.timeout(120_000);
  requireThinTools();
  const scratch = useScratch();

  const eachPool = (test: (store: MemoryStore, metadata: string) => Promise<void>): Promise<void> =>
    fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const store = await poolOf(steps);
        await test(store, await restoredByThinTools(scratch.current, await dumpOf(store)));
        await checked(store);
      }),
      { numRuns: RUNS },
    );

  it('write the dump that thin_restore takes, thin_check passes, and thin_dump writes again', () =>
    eachPool(async (store, metadata) => {
      assert.equal(await runThinTool('thin_dump', metadata), await dumpOf(store, { plain: true }));
      assert.equal(
        await runThinTool('thin_dump', '-f', 'human_readable', metadata),
        await dumpOf(store, { format: 'human_readable' }),
      );
      assert.equal(
        await runThinTool('thin_dump', '--skip-mappings', '--dev-id', '1', metadata),
        await dumpOf(store, { plain: true, skipMappings: true, device: '1' }),
      );
    }));

  it('restore what thin_dump wrote to the same pool', () =>
    eachPool(async (store, metadata) => {
      const before = await dumpOf(store, { plain: true });
      const contents = await contentsOf(store);
      await restorePool(store, [await runThinTool('thin_dump', metadata)], {
        replace: true,
        limits: SMALL_NODES,
      });
      assert.equal(await dumpOf(store, { plain: true }), before);
      assert.deepEqual(await contentsOf(store), contents);
    }));

  it('restore their own dump, names and all, where nothing else is left', () =>
    eachPool(async (store) => {
      const [before, contents] = [await dumpOf(store), await contentsOf(store)];
      for (const [key] of store.dump())
        // Chunks, their patches, and the bases of partial ones.
        if (!'bce'.includes(String.fromCharCode(key[0]!)))
          await store.batch([{ type: 'del', key }], { sync: true });
      await restorePool(store, [before], { limits: SMALL_NODES });
      assert.equal(await dumpOf(store), before);
      assert.deepEqual(await contentsOf(store), contents);
    }));

  it('tell devices apart as thin_delta does', () =>
    eachPool(async (store, metadata) => {
      const view = await viewOf(store);
      const ids = view.devices.map(({ id }) => String(id));
      for (const right of ids.slice(-3))
        for (const left of [ids[0]!, ids.at(-1)!])
          for (const format of ['simple', 'verbose'] as const)
            assert.equal(
              await textOf(deltaText(view, { left, right, format })),
              await runThinTool(
                'thin_delta',
                ...['--thin1', left, '--thin2', right],
                ...(format === 'verbose' ? ['--verbose'] : []),
                metadata,
              ),
            );
    }));

  it('say which blocks map a chunk as thin_rmap does', () =>
    eachPool(async (store, metadata) => {
      const view = await viewOf(store);
      for (const regions of [
        [{ begin: 0, end: 4096 }],
        [
          { begin: 3, end: 4 },
          { begin: 9, end: 40 },
        ],
      ])
        assert.deepEqual(
          linesByBlock(rmapLines(await reverseMap(view, regions))),
          linesByBlock(
            await runThinTool(
              'thin_rmap',
              ...regions.flatMap(({ begin, end }) => ['--region', `${begin}..${end}`]),
              metadata,
            ),
          ),
        );
    }));

  it('list devices as thin_ls does', () =>
    eachPool(async (store, metadata) => {
      const fields =
        'DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS,MAPPED_SECTORS,EXCLUSIVE_SECTORS,SHARED_SECTORS,MAPPED_BYTES,EXCLUSIVE_BYTES,SHARED_BYTES,MAPPED,EXCLUSIVE,SHARED,TRANSACTION,CREATE_TIME,SNAP_TIME';
      const pool = await reopen(store);
      await pool.settle();
      for (const headers of [true, false])
        assert.equal(
          `${fieldTable(pool.devices(), fields.split(','), { blockSize: BLOCK, headers })}\n`,
          await runThinTool('thin_ls', ...(headers ? [] : ['--no-headers']), '-o', fields, metadata),
        );
      await pool.close();
    }));
});
