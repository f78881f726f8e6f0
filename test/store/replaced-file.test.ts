import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { replaceFile } from '../../src/store/replaced-file.js';
import { useScratch } from '../support/mounts.js';

describe('a replaced file', () => {
  const scratch = useScratch();

  it('has the new content, and only its user may read it', async () => {
    const folder = await scratch.current.folder();
    await writeFile(`${folder}/a`, 'old');
    await replaceFile(`${folder}/a`, async (handle) => handle.writeFile('new'));
    assert.equal(await readFile(`${folder}/a`, 'utf8'), 'new');
    assert.deepEqual(await readdir(folder), ['a']);
  });

  it('is as it was where the new one cannot be written', async () => {
    const folder = await scratch.current.folder();
    await writeFile(`${folder}/a`, 'old');
    const full = Object.assign(new Error('no room'), { code: 'ENOSPC' });
    await assert.rejects(
      replaceFile(`${folder}/a`, () => Promise.reject(full)),
      { code: 'no-space' },
    );
    assert.equal(await readFile(`${folder}/a`, 'utf8'), 'old');
    assert.deepEqual(await readdir(folder), ['a']);
  });
});
