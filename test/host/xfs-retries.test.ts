import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { failXfsOfMount } from '../../src/host/xfs-retries.js';

describe('an xfs whose device answers with errors for good', () => {
  requireMounts(['mkfs.xfs']);
  const scratch = useScratch();

  it('is let fail by the mount that waits for it, and others are left alone', async () => {
    const loops: string[] = [];
    for (const name of ['one', 'other']) {
      const file = scratch.current.at(name);
      await writeFile(file, '');
      await truncate(file, 320 * 2 ** 20);
      await run('mkfs.xfs', ['-q', file]);
      const loop = await scratch.current.attach(file);
      await scratch.current.mount(loop, 'xfs');
      loops.push(loop);
    }
    const [loop, other] = loops;
    assert(loop !== undefined && other !== undefined);
    // Its words are those of a mount(8) that hangs.
    const waiting = scratch.current.start('sh', ['-c', 'echo waits; read x', 'mount', '-t', 'xfs', loop], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    assert(waiting.pid !== undefined && waiting.stdout !== null);
    await once(waiting.stdout, 'data');
    const retries = async (of: string): Promise<string> => {
      const folder = `/sys/fs/xfs/${path.basename(of)}/error/metadata`;
      return (await readFile(`${folder}/EIO/max_retries`, 'utf8')).trim();
    };
    assert.equal(await retries(loop), '-1');
    await failXfsOfMount(waiting.pid);
    assert.equal(await retries(loop), '0');
    assert.equal(await retries(other), '-1');
    const gone = once(waiting, 'exit');
    waiting.kill('SIGKILL');
    await gone;
    await failXfsOfMount(waiting.pid);
  });
});
