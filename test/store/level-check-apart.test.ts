import assert from 'node:assert/strict';
import { damagedFiles } from '../../src/store/level-check.js';
import { damagedFilesApart } from '../../src/store/level-check-apart.js';
import { useScratch } from '../support/mounts.js';
import { filesLike, flipByte, makeNumberedStore } from '../support/numbered-store.js';

async function messages(errors: AsyncIterable<{ message: string }>): Promise<string[]> {
  const told: string[] = [];
  for await (const { message } of errors) told.push(message);
  return told;
}

describe('the check of a store’s files in a thread of its own', () => {
  const scratch = useScratch();

  it('finds what the check in this thread finds, and ends', async () => {
    const folder = scratch.current.at('store');
    await makeNumberedStore(folder, 60);
    assert.deepEqual(await messages(damagedFilesApart(folder)), []);
    for (const file of await filesLike(folder, /\.ldb$/)) await flipByte(file, 20);
    const here = await messages(damagedFiles(folder, 'all'));
    assert.ok(here.length > 1);
    assert.deepEqual(await messages(damagedFilesApart(folder)), here);
  });

  it('ends its thread where nobody wants to hear more', async () => {
    const folder = scratch.current.at('left');
    await makeNumberedStore(folder, 60);
    for (const file of await filesLike(folder, /\.ldb$/)) await flipByte(file, 20);
    // The process of the tests would not end otherwise.
    for await (const error of damagedFilesApart(folder)) {
      assert.equal(error.code, 'damaged');
      break;
    }
  });

  it('fails where there is nothing to check', async () => {
    await assert.rejects(messages(damagedFilesApart(scratch.current.at('nowhere'))));
  });
});
