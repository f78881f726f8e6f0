import assert from 'node:assert/strict';
import { lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli, CLI_COMMAND } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { loopsUnder, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

interface Device {
  readonly mountPoint: string | null;
  readonly active: boolean;
  readonly content: string;
}

describe('mounts that come back', function () {
  this.timeout(240_000);
  requireMounts(['mkfs.xfs']);
  const scratch = useScratch();
  let cli: Cli;

  const device = async (name: string): Promise<Device> => (await cli.json<readonly Device[]>('ls', name))[0]!;
  const modeOf = async (...place: readonly string[]): Promise<number> =>
    (await stat(path.join(...place))).mode & 0o7777;

  before('a pool with an image of plain data and clones of it', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '512M', '--data-size', '2G');
    const from = await scratch.current.folder('from');
    await writeFile(path.join(from, 'data'), 'seed');
    await cli.run('start');
    await cli.run('image', 'create', 'seed', '--plain', '--from', from);
    await cli.run('clone', 'seed', 'db', 'web', 'open');
  });

  it('has no rootfs in an image of plain data, nor in what starts from it', async () => {
    const target = (await cli.run('mount', 'web')).trim();
    assert.deepEqual(await readdir(target), ['data']);
    assert.equal((await device('web')).content, 'plain');
    await writeFile(path.join(target, 'more'), 'x');
    assert.equal(await cli.run('diff', 'web'), 'A /more\n');
    await cli.run('export', 'web', '--output', scratch.current.at('web.tar'));
    const listed = await run('tar', ['--list', '--file', scratch.current.at('web.tar')]);
    assert.match(listed, /^\.\/more$/m);
    await cli.run('snapshot', 'later', 'web');
    await cli.run('umount', 'web');
    const { stderr, code } = await cli.try('image', 'create', 'odd', '--plain', '--parent', 'later');
    assert.deepEqual([code, stderr.includes('kind snapshot')], [2, true]);
  });

  it('mounts at each start what is to be mounted, with its options, after a crash too', async () => {
    const target = scratch.current.at('db');
    await cli.run(
      'mount',
      'db',
      target,
      '--owner',
      '12345:54321',
      '--mode',
      '1770',
      '-o',
      'noatime',
      '--automount',
    );
    await cli.run('automount', 'open', '--allow-other');
    const odd = await cli.try('automount', 'db', 'foo=1');
    assert.deepEqual(
      [odd.code, odd.stderr.includes('is no folder; mount options are given with -o')],
      [2, true],
    );
    await cli.run('stop');
    assert.equal(await modeOf(cli.root), 0o700);
    await cli.run('start');
    const check = async (): Promise<void> => {
      assert.equal((await device('db')).mountPoint, target);
      const { uid, gid, mode } = await stat(target);
      assert.deepEqual([uid, gid, mode & 0o7777], [12345, 54321, 0o1770]);
      const row = (await readFile('/proc/self/mountinfo', 'utf8'))
        .split('\n')
        .find((line) => line.includes(` ${target} `));
      assert.match(row ?? '', /noatime/);
      assert.equal((await device('web')).mountPoint, null);
    };
    await check();
    await cli.kill();
    await cli.run('start');
    await check();
    assert.equal(await cli.run('automount', 'db'), `${target} noatime\n`);
    await cli.run('umount', `${target}/`);
    assert.equal((await device('db')).mountPoint, null);
    const { code, stderr } = await cli.try('umount', target);
    assert.deepEqual([code, stderr.includes('no device of the pool is mounted on')], [3, true]);
    await cli.run('mount', 'db', target);
    assert.equal((await cli.try('automount', 'web', target)).code, 4);
  });

  it('opens the way to what others may reach, and closes it again', async () => {
    const shared = path.join(cli.root, 'shared');
    assert.equal((await device('open')).mountPoint, path.join(shared, 'open'));
    for (const place of [cli.root, shared]) assert.equal(await modeOf(place), 0o711, place);
    for (const name of ['mnt', 'dev', 'devicemapper', 'metadata'])
      assert.equal(await modeOf(cli.root, name), 0o700, name);
    await cli.run('umount', 'open');
    assert.equal(await modeOf(cli.root), 0o700);
    await assert.rejects(lstat(shared), /ENOENT/);
  });

  it('starts with what can be mounted where a target cannot, and with nothing where it is told so', async () => {
    await cli.run('automount', 'web', scratch.current.at('nowhere/deep'));
    await cli.run('stop');
    await cli.run('start');
    assert.equal((await device('web')).mountPoint, null);
    assert.equal((await device('db')).mountPoint, scratch.current.at('db'));
    assert.match(
      await readFile(path.join(cli.root, 'thinfuse.log'), 'utf8'),
      /web is not mounted, though it should be/,
    );
    await cli.run('automount', 'web', '--off');
    await cli.run('stop');
    await cli.run('start', '--no-automount');
    assert.equal((await device('db')).mountPoint, null);
    assert.equal(await cli.run('automount', 'web'), 'off\n');
  });

  it('serves mount(8), and lets go of what umount(8) unmounted', async () => {
    const helper = scratch.current.at('mount.thinfuse');
    await symlink(CLI_COMMAND.at(-1)!, helper);
    const target = scratch.current.at('fstab');
    await mkdir(target);
    const mountAs = (name: string, ...more: readonly string[]): Promise<{ code: number; stderr: string }> =>
      tryRun(CLI_COMMAND[0]!, [
        ...CLI_COMMAND.slice(1, -1),
        ...[helper, name, target, '-o', `nofail,root=${cli.root},noatime`, ...more],
      ]);
    assert.deepEqual(await mountAs('web'), { code: 0, stdout: `${target}\n`, stderr: '' });
    assert.deepEqual((await readdir(target)).sort(), ['data', 'more']);
    assert.equal((await mountAs('nosuch')).code, 32);
    await run('umount', [target]);
    // At once again, whether the daemon has seen that it is gone or not.
    assert.equal((await mountAs('web')).code, 0);
    assert.deepEqual((await readdir(target)).sort(), ['data', 'more']);
    await run('umount', [target]);
    await eventually('the daemon has let go of it', async () => {
      const { mountPoint, active } = await device('web');
      return mountPoint === null && !active;
    });
    await cli.run('umount', '--all');
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.match(await cli.run('check'), /./);
  });
});
