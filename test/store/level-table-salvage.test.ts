import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { readManifest } from '../../src/store/level-manifest.js';
import { salvageTable } from '../../src/store/level-table-salvage.js';
import { readOutline } from '../../src/store/level-table.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, flipByte, makeNumberedStore, sizeOf } from '../support/numbered-store.js';

describe('what can be read of one table', () => {
  const scratch = useScratch();
  let folder: string;
  let count = 0;

  beforeEach(async () => {
    folder = scratch.current.at(`store${count++}`);
    await makeNumberedStore(folder, 60);
  });

  /** Keys with their sequence numbers, and what was told as lost. */
  async function salvaged(name: string): Promise<{ entries: string[]; lost: string[] }> {
    const { tables } = await readManifest(folder);
    const table = [...tables.values()].find(({ number }) => name.includes(String(number).padStart(6, '0')));
    const entries: string[] = [];
    const lost: string[] = [];
    const file = await open(name, 'r');
    await salvageTable(file, table, {
      entry: ({ key, sequence }) => entries.push(`${Buffer.from(key).toString('hex')} ${sequence}`),
      lost: (_, problem) => lost.push(problem),
    });
    await file.close();
    return { entries, lost };
  }

  it('is all of it where nothing is damaged, and also where its index is', async () => {
    for (const name of await filesLike(folder, /\.ldb$/)) {
      const whole = await salvaged(name);
      assert.ok(whole.entries.length > 0);
      assert.deepEqual(whole.lost, []);
      // What leads to the index.
      await flipByte(name, (await sizeOf(name)) - 3);
      assert.deepEqual((await salvaged(name)).entries, whole.entries);
      await flipByte(name, (await sizeOf(name)) - 3);
    }
  });

  it('is never what was not written, whatever block is damaged', async () => {
    for (const name of await filesLike(folder, /\.ldb$/)) {
      const whole = await salvaged(name);
      const file = await open(name, 'r');
      const { blocks } = await readOutline(file, await sizeOf(name));
      await file.close();
      for (const { offset, size } of blocks) {
        await flipByte(name, offset + Math.floor(size / 2));
        const { entries, lost } = await salvaged(name);
        for (const entry of entries) assert.ok(whole.entries.includes(entry), entry);
        assert.ok(entries.length < whole.entries.length);
        assert.ok(lost.length > 0);
        await flipByte(name, offset + Math.floor(size / 2));
      }
    }
  });
});
