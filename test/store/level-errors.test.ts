import assert from 'node:assert/strict';
import { fileError, levelError } from '../../src/store/level-errors.js';
import { ThinError } from '../../src/errors/thin-error.js';

describe("LevelDB's errors", () => {
  const coded = (message: string, code?: string): Error => Object.assign(new Error(message), { code });

  it('are told by their code, or by the text of errno', () => {
    for (const [error, code] of [
      [coded('IO error: /pool/000005.log: No space left on device'), 'no-space'],
      [coded('IO error: /pool/LOCK: Permission denied'), 'permission'],
      [coded('IO error: /pool/000007.ldb: No such file or directory'), 'damaged'],
      [coded('Corruption: bad block'), 'damaged'],
      [coded('not open', 'LEVEL_DATABASE_NOT_OPEN'), 'closed'],
    ] as const)
      assert.equal(levelError('/pool', 'read from', error).code, code, error.message);
  });

  it('that are ours already stay', () => {
    const own = new ThinError('no-space', 'full');
    assert.equal(levelError('/pool', 'read from', own), own);
    assert.equal(fileError('/pool', own), own);
  });

  it('of files name the file', () => {
    const error = fileError('/pool/mark', coded('EROFS', 'EROFS'));
    assert.equal(error.code, 'read-only');
    assert.match(error.message, /^\/pool\/mark: /);
  });
});
