import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/eventually.js';
import { loopsUnder, requireMounts, run, useScratch } from '../support/mounts.js';

const FREEZER = fileURLToPath(new URL('../support/freeze-until-killed.ts', import.meta.url));

describe('a filesystem that is frozen when its daemon dies', () => {
  requireMounts(['mkfs.ext4', 'mkfs.xfs', 'xfs_io', 'fsfreeze']);
  const scratch = useScratch();

  async function frozenBy(
    name: string,
    {
      type = 'ext4',
      before = async () => undefined,
    }: { type?: 'ext4' | 'xfs'; before?: (target: string) => Promise<unknown> } = {},
  ): Promise<{ target: string; loop: string; die: () => void }> {
    const image = scratch.current.at(name);
    await writeFile(image, '');
    await truncate(image, (type === 'xfs' ? 320 : 32) * 2 ** 20);
    await run(`mkfs.${type}`, ['-q', image]);
    const loop = await scratch.current.attach(image);
    const target = await scratch.current.mount(loop, type);
    await before(target);
    return { target, loop, die: await freeze(target) };
  }

  async function freeze(target: string): Promise<() => void> {
    const daemon = scratch.current.start(process.execPath, ['--import', 'tsx', FREEZER, target], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(daemon.stdout!, 'data');
    return () => daemon.kill('SIGKILL');
  }

  it('is thawed, so that whoever writes to it does not wait for the next daemon', async () => {
    const { target, die } = await frozenBy('image');
    const written = run('touch', [path.join(target, 'file')]);
    die();
    assert.equal(await written, '');
  });

  it('is thawed also where the next daemon has already unmounted it lazily', async () => {
    const { target, loop, die } = await frozenBy('lazy');
    const writer = scratch.current.start('sh', ['-c', 'read go; touch file; echo done'], {
      cwd: target,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await run('umount', ['--lazy', target]);
    writer.stdin!.end('go\n');
    const done = once(writer.stdout!, 'data');
    die();
    assert.equal(String((await done)[0]), 'done\n');
    await scratch.current.detach(loop);
    // It goes with the last who has the filesystem open: the process that thawed it.
    await eventually(
      'the loop device is gone',
      async () => !(await loopsUnder(scratch.current.root)).includes(loop),
    );
  });

  it('is thawed also where it was shut down, as xfs is when its device is gone', async () => {
    let writer: ChildProcess | undefined;
    const before = async (target: string): Promise<void> => {
      writer = scratch.current.start('sh', ['-c', 'exec 3>file; echo open; read go; echo x >&3; echo done'], {
        cwd: target,
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      await once(writer.stdout!, 'data');
    };
    const { target, die } = await frozenBy('shut', { type: 'xfs', before });
    writer!.stdin!.end('go\n');
    await run('xfs_io', ['-x', '-c', 'shutdown', target]);
    const done = once(writer!.stdout!, 'data');
    die();
    assert.equal(String((await done)[0]), 'done\n');
  });
});
