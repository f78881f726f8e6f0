import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { requireMountPlace } from '../../src/host/mount-place.js';

describe('the place of a mount', () => {
  for (const target of ['/', '/proc/1', '/sys/kernel', '/dev'])
    it(`is not ${target}`, async () => {
      await assert.rejects(
        requireMountPlace(target),
        (error) =>
          error instanceof ThinError &&
          error.code === 'invalid-argument' &&
          error.message.endsWith('choose a folder of its own to mount on'),
      );
    });

  it('may be a folder of its own, there or not', async () => {
    await requireMountPlace(path.join(tmpdir(), 'no-such-folder'));
  });
});
