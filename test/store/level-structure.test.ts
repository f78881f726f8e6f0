import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { rangeOf } from '../../src/format/keys.js';
import { StructureCheck } from '../../src/store/level-structure.js';
import { readOutline } from '../../src/store/level-table.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, flipByte, makeNumberedStore, sizeOf } from '../support/numbered-store.js';

describe('the structure of a store’s tables, looked at before a compaction', () => {
  const scratch = useScratch();
  let folder: string;
  let check: StructureCheck;
  let count = 0;

  beforeEach(async () => {
    folder = scratch.current.at(`store${count++}`);
    await makeNumberedStore(folder, 60);
    check = new StructureCheck(folder);
  });

  afterEach(() => check.stop());

  async function spoil(name: string): Promise<void> {
    const file = await open(name, 'r');
    const { blocks } = await readOutline(file, await sizeOf(name));
    await file.close();
    const { offset, size } = blocks[0]!;
    await flipByte(name, offset + size - 2);
  }

  it('is well in tables as they were written', async () => {
    assert.equal(await check.all(), undefined);
    assert.equal(await check.range(rangeOf('chunk')), undefined);
    assert.equal(await check.due(2 ** 30, 2 ** 20), undefined);
  });

  it('is found where it is damaged, by the number of the table', async () => {
    const [name] = await filesLike(folder, /\.ldb$/);
    await spoil(name!);
    const number = Number.parseInt(name!.split('/').at(-1)!, 10);
    const found = await check.table(number);
    assert.equal(found?.number, number);
    assert.equal(found.error.code, 'damaged');
    // All that were there at the start are looked at once.
    assert.equal((await check.all())?.number, number);
  });

  it('is found when a table that was well has been written to since', async () => {
    const [name] = await filesLike(folder, /\.ldb$/);
    const number = Number.parseInt(name!.split('/').at(-1)!, 10);
    assert.equal(await check.table(number), undefined);
    assert.equal(await check.table(number), undefined);
    await spoil(name!);
    assert.equal((await check.table(number))?.number, number);
  });

  it('is looked at ahead of a write, which then takes that look', async () => {
    const [name] = await filesLike(folder, /\.ldb$/);
    assert.equal(await check.due(1, 2 ** 20), undefined);
    for (const table of await filesLike(folder, /\.ldb$/)) await spoil(table);
    check.lookAhead(2 ** 20, 2 ** 20);
    const found = await check.due(2 ** 20, 2 ** 20);
    assert.equal(found?.error.code, 'damaged', name);
  });

  it('is looked at no more once the check has stopped', async () => {
    await spoil((await filesLike(folder, /\.ldb$/))[0]!);
    await check.stop();
    assert.equal(await check.all(), undefined);
  });
});
