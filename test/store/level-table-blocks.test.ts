import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { MAX_CHUNKS, chunkId } from '../../src/format/ids.js';
import { chunkKey } from '../../src/format/keys.js';
import { readManifest } from '../../src/store/level-manifest.js';
import { TableBlocks } from '../../src/store/level-table-blocks.js';
import { blockBytes, dataEntries, readOutline, readUpTo, TRAILER } from '../../src/store/level-table.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, flipByte, makeNumberedStore } from '../support/numbered-store.js';

describe('the blocks of a table as LevelDB looks at them', () => {
  const scratch = useScratch();

  it('hold each key of the table, in the block that is looked at, and no other', async () => {
    const folder = scratch.current.at('store');
    await makeNumberedStore(folder, 60);
    const { tables, lastSequence } = await readManifest(folder);
    let keys = 0;
    for (const table of tables.values()) {
      const blocks = TableBlocks.open(folder, table, lastSequence)!;
      assert.equal(blocks.indexProblem(), undefined);
      const [name] = await filesLike(folder, new RegExp(`/?0*${table.number}\\.ldb$`));
      const file = await open(name!, 'r');
      const outline = await readOutline(file, table.size);
      assert.equal(blocks.count, outline.blocks.length);
      for (const [at, block] of outline.blocks.entries()) {
        assert.equal(blocks.blockProblem(at), undefined);
        assert.equal(blocks.structureProblem(at), undefined);
        const bytes = await readUpTo(file, block.offset, blockBytes(block));
        for (const { key } of dataEntries(bytes.subarray(0, -TRAILER))) {
          // A key may have older values in the blocks behind.
          assert.ok(blocks.blockOf(key) <= at);
          assert.ok(Buffer.compare(blocks.lastOf(at), key) >= 0);
          assert.deepEqual(blocks.look(key), { bad: undefined, holds: true });
          keys++;
        }
      }
      assert.deepEqual(blocks.look(chunkKey(chunkId(MAX_CHUNKS - 1))), { bad: undefined, holds: false });
      blocks.close();
      await file.close();
    }
    assert.ok(keys > 50);
    assert.equal(TableBlocks.open(folder, { number: 999_999, size: 1 }, lastSequence), undefined);
  });

  it('are bad where the structure of one was changed', async () => {
    const folder = scratch.current.at('spoiled');
    await makeNumberedStore(folder, 60);
    const { tables, lastSequence } = await readManifest(folder);
    const [table] = tables.values();
    const [name] = await filesLike(folder, new RegExp(`0*${table!.number}\\.ldb$`));
    const file = await open(name!, 'r');
    const { blocks: outline } = await readOutline(file, table!.size);
    await file.close();
    for (const [at, { offset, size }] of outline.entries()) {
      // The number of its restart points.
      await flipByte(name!, offset + size - 2);
      const blocks = TableBlocks.open(folder, table!, lastSequence)!;
      assert.equal(blocks.indexProblem(), undefined);
      assert.equal(blocks.structureProblem(at)?.offset, offset);
      assert.equal(blocks.blockProblem(at)?.offset, offset);
      blocks.close();
      await flipByte(name!, offset + size - 2);
    }
  });
});
