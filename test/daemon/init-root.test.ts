import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { prepareRoot } from '../../src/daemon/init-root.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { useScratch } from '../support/mounts.js';

describe('a root in the making', () => {
  const scratch = useScratch();

  it('has its folders, for its owner only', async () => {
    const layout = rootLayout(scratch.current.at('a/b/c'));
    const { undo, finish } = await prepareRoot(layout);
    await finish();
    assert.deepEqual((await readdir(layout.root)).sort(), ['dev', 'devicemapper', 'metadata', 'mnt']);
    assert.equal((await stat(layout.root)).mode & 0o777, 0o700);
    await undo();
    assert.equal(existsSync(scratch.current.at('a')), false);
  });

  it('is refused where something is, untouched', async () => {
    const full = scratch.current.at('full');
    await mkdir(full);
    await writeFile(path.join(full, 'mine'), '');
    await assert.rejects(prepareRoot(rootLayout(full)), { code: 'not-empty', message: /mine/ });
    const pool = scratch.current.at('pool');
    await mkdir(path.join(pool, 'devicemapper'), { recursive: true });
    await writeFile(path.join(pool, 'devicemapper/CURRENT'), '');
    await assert.rejects(prepareRoot(rootLayout(pool)), { code: 'exists' });
    await assert.rejects(prepareRoot(rootLayout(path.join(full, 'mine'))), { code: 'invalid-argument' });
    assert.deepEqual(await readdir(full), ['mine']);
  });

  it('may be the top of a fresh filesystem', async () => {
    const root = scratch.current.at('disk');
    await mkdir(path.join(root, 'lost+found'), { recursive: true });
    const { undo } = await prepareRoot(rootLayout(root));
    await undo();
    assert.deepEqual(await readdir(root), ['lost+found']);
  });

  it('is not too long for its socket', () => {
    assert.throws(() => rootLayout(`/tmp/${'x'.repeat(100)}`), {
      code: 'invalid-argument',
      message: /too long/,
    });
  });
});
