import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  fuseDeviceError,
  requireFreeMountPoint,
  requireFuseDevice,
  resolveMountPoint,
} from '../../src/fuse/mount-point.js';

describe('mount points', () => {
  it('resolves links, so that a mount is found under the name the kernel shows', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
    try {
      await symlink(folder, path.join(folder, 'link'));
      assert.equal(await resolveMountPoint(path.join(folder, 'link')), folder);
      await assert.rejects(resolveMountPoint(path.join(folder, 'missing')), { code: 'not-found' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('is busy where something is mounted', async () => {
    await assert.rejects(requireFreeMountPoint('/proc'), { code: 'busy', message: /umount \/proc/ });
  });

  it('says what a missing or closed /dev/fuse asks for', async () => {
    await assert.rejects(requireFuseDevice('/dev/no-such-fuse'), {
      code: 'missing-device',
      message: /modprobe fuse/,
    });
    const refused = Object.assign(new Error('refused'), { code: 'EACCES' });
    assert.equal(fuseDeviceError(refused).code, 'permission');
    assert.equal(fuseDeviceError(new Error('else')).code, 'io');
  });
});
