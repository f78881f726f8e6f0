import assert from 'node:assert/strict';
import { rm, truncate } from 'node:fs/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import { readManifest, type TableEntry } from '../../src/store/level-manifest.js';
import { damagedTables, lengthProblem, openTable, reachOf } from '../../src/store/level-table-check.js';
import { readOutline } from '../../src/store/level-table.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, flipByte, makeNumberedStore, sizeOf } from '../support/numbered-store.js';

describe('the check of a store’s tables', () => {
  const scratch = useScratch();
  let folder: string;
  let tables: TableEntry[];
  let count = 0;

  beforeEach(async () => {
    folder = scratch.current.at(`store${count++}`);
    await makeNumberedStore(folder, 60);
    tables = [...(await readManifest(folder)).tables.values()];
    assert.ok(tables.length > 1);
  });

  async function found(depth: 'metadata' | 'all'): Promise<ThinError[]> {
    const errors: ThinError[] = [];
    for await (const error of damagedTables(folder, tables, { depth })) errors.push(error);
    return errors;
  }

  it('finds nothing in tables as they were written', async () => {
    assert.deepEqual(await found('metadata'), []);
    assert.deepEqual(await found('all'), []);
    for (const table of tables) assert.equal(await lengthProblem(folder, table), undefined);
  });

  it('finds a changed byte of every part of a table', async () => {
    const [file] = await filesLike(folder, /\.ldb$/);
    const size = await sizeOf(file!);
    for (let part = 0; part < 12; part++) {
      // The footer has filler that nothing reads.
      const at = Math.floor(((size - 48) * part) / 12) + 7;
      await flipByte(file!, at);
      const [error] = await found('all');
      assert.ok(error instanceof ThinError && error.code === 'damaged', `byte ${at} of ${size}`);
      await flipByte(file!, at);
    }
    assert.deepEqual(await found('all'), []);
  });

  it('names a table that is cut or missing, and not one that MANIFEST has let go of', async () => {
    const [table] = tables;
    const [file] = await filesLike(folder, new RegExp(`0*${table!.number}\\.ldb$`));
    await truncate(file!, 100);
    assert.match((await lengthProblem(folder, table!))!.message, /100 bytes where/);
    await rm(file!);
    assert.match((await lengthProblem(folder, table!))!.message, /is missing/);
    assert.equal(await openTable(folder, table!.number), undefined);
    assert.equal(await lengthProblem(folder, { ...table!, number: 999_999 }), undefined);
  });

  it('says of each block which keys may be in it, without a gap', async () => {
    for (const table of tables) {
      const { file } = (await openTable(folder, table.number))!;
      const { blocks } = await readOutline(file, table.size);
      let from: Uint8Array = table.first;
      for (const block of blocks) {
        const [first, last] = reachOf(block, table);
        assert.deepEqual(Buffer.from(first), Buffer.from(from));
        assert.ok(Buffer.compare(first, last) <= 0);
        from = last;
      }
      assert.deepEqual(Buffer.from(from), Buffer.from(table.last));
      await file.close();
    }
  });
});
