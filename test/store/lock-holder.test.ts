import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { findLockHolder } from '../../src/store/lock-holder.js';
import { useScratch } from '../support/mounts.js';

describe('the holder of a lock', () => {
  const scratch = useScratch();

  it('is unknown of a file without one, and of none', async () => {
    const file = scratch.current.at('LOCK');
    await writeFile(file, '');
    assert.equal(await findLockHolder(file), undefined);
    assert.equal(await findLockHolder(scratch.current.at('nowhere')), undefined);
  });
});
