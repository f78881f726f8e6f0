import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { existsSync, lstatSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { writePieces } from '../../src/transfer/text-file.js';
import { ThinError } from '../../src/errors/thin-error.js';

function* broken(): Generator<string> {
  yield 'begun';
  throw new ThinError('damaged', 'the rest cannot be read');
}

describe('a text that a command writes into a file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-pieces-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('goes again where it breaks off', async () => {
    const file = path.join(folder, 'file');
    await writePieces(file, ['one ', 'two']);
    assert.equal(await readFile(file, 'utf8'), 'one two');
    await assert.rejects(writePieces(file, broken()), { code: 'damaged' });
    assert.equal(existsSync(file), false);
  });

  it('fails with what the text failed with, in its own words', async () => {
    const file = path.join(folder, 'file');
    function* fault(): Generator<string> {
      yield 'begun';
      throw new Error('metadata contains errors');
    }
    await assert.rejects(writePieces(file, fault()), { message: 'metadata contains errors' });
    assert.equal(existsSync(file), false);
  });

  it('leaves a name alone that is no file, as that of a device', async () => {
    const link = path.join(folder, 'null');
    await symlink('/dev/null', link);
    await assert.rejects(writePieces(link, broken()), { code: 'damaged' });
    assert(lstatSync(link).isSymbolicLink());
  });
});
