import assert from 'node:assert/strict';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const FREEZER = fileURLToPath(new URL('../support/freeze-until-killed.ts', import.meta.url));

describe('a filesystem that is frozen when its daemon dies', () => {
  requireMounts(['mkfs.ext4', 'fsfreeze']);
  const scratch = useScratch();

  it('is thawed, so that whoever writes to it does not wait for the next daemon', async () => {
    const image = scratch.current.at('image');
    await writeFile(image, '');
    await truncate(image, 32 * 2 ** 20);
    await run('mkfs.ext4', ['-q', image]);
    const target = await scratch.current.mount(await scratch.current.attach(image), 'ext4');
    const daemon = scratch.current.start(process.execPath, ['--import', 'tsx', FREEZER, target], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(daemon.stdout!, 'data');
    const written = run('touch', [path.join(target, 'file')], { limitMs: 30_000 });
    daemon.kill('SIGKILL');
    assert.equal(await written, '');
  });
});
