import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import path from 'node:path';
import { checkFilesystems, checkRelease, existingFolder } from '../../src/host/check-kernel.js';
import { versionIn } from '../../src/host/check-tools.js';
import { useScratch } from '../support/mounts.js';

describe('what the host is like', () => {
  const scratch = useScratch();

  it('knows since when a daemon can be followed', () => {
    const state = (text: string): string | undefined => checkRelease(text)[1]?.state;
    assert.equal(state('6.1.0-37-amd64'), 'missing');
    assert.equal(state('6.9.0'), 'ok');
    assert.equal(state('6.18.44-fc'), 'ok');
    assert.equal(state('7.0.0-rc1'), 'ok');
    assert.equal(state('5.15.0'), 'missing');
  });

  async function filesystems(loaded: string, modules?: string): Promise<Record<string, string>> {
    const proc = await scratch.current.folder('proc');
    await writeFile(path.join(proc, 'filesystems'), loaded);
    const folder = scratch.current.at('modules');
    if (modules !== undefined) {
      await mkdir(path.join(folder, release()), { recursive: true });
      await writeFile(path.join(folder, release(), 'modules.dep'), modules);
    }
    const found = await checkFilesystems(proc, folder);
    return Object.fromEntries(found.map(({ subject, need, state }) => [subject, `${need} ${state}`]));
  }

  it('finds filesystems that are loaded, and cannot tell of others without a list', async () => {
    assert.deepEqual(await filesystems('nodev\tproc\n\txfs\n'), {
      xfs: 'optional ok',
      ext4: 'optional unknown',
    });
  });

  it('finds filesystems that can be loaded', async () => {
    assert.deepEqual(await filesystems('\text4\n', 'kernel/fs/xfs/xfs.ko.xz: kernel/lib/crc.ko\n'), {
      xfs: 'optional ok',
      ext4: 'optional ok',
    });
  });

  it('does with one of the two, and not with none', async () => {
    assert.deepEqual(await filesystems('\text4\n', ''), { xfs: 'optional missing', ext4: 'optional ok' });
    assert.deepEqual(await filesystems('\tbtrfs\n', ''), {
      xfs: 'required missing',
      ext4: 'optional missing',
    });
  });

  it('finds the nearest folder that is there', async () => {
    assert.equal(await existingFolder(scratch.current.at('a/b/c')), scratch.current.root);
    assert.equal(await existingFolder('/'), '/');
  });

  it('finds versions in what tools say', () => {
    assert.equal(versionIn('mount from util-linux 2.38.1 (libmount 2.38.1: btrfs)'), '2.38.1');
    assert.equal(versionIn('mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS'), '1.47.0');
    assert.equal(versionIn('systemd 252 (252.38-1~deb12u1)'), '252.38');
    assert.equal(versionIn('no number'), undefined);
  });
});
