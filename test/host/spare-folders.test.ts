import assert from 'node:assert/strict';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SpareFolders } from '../../src/host/spare-folders.js';
import { useScratch } from '../support/mounts.js';

describe('spare folders', () => {
  const scratch = useScratch();
  let folder: string;
  let target: string;

  beforeEach(async () => {
    const place = await scratch.current.folder('spares');
    folder = path.join(place, 'spare');
    target = path.join(place, 'target');
  });

  it('become what is asked for, and are made again', async () => {
    const spares = await SpareFolders.in(folder);
    const { length } = await readdir(folder);
    assert.equal(await spares.become(target), true);
    assert.equal((await stat(target)).mode & 0o777, 0o755);
    assert.equal((await readdir(folder)).length, length - 1);
    await spares.refill();
    assert.equal((await readdir(folder)).length, length);
    // What is whole takes nothing.
    assert.equal(await spares.take(target), false);
    assert.equal((await stat(target)).isDirectory(), true);
  });

  it('leave what cannot be replaced', async () => {
    const spares = await SpareFolders.in(folder);
    await mkdir(target);
    await writeFile(path.join(target, 'file'), 'text');
    assert.equal(await spares.become(target), false);
    assert.deepEqual(await readdir(target), ['file']);
    assert.equal(await spares.become(path.join(folder, 'missing/target')), false);
  });

  it('are none where their place is taken by a file', async () => {
    await writeFile(folder, '');
    const spares = await SpareFolders.in(folder);
    assert.equal(await spares.become(target), false);
  });
});
