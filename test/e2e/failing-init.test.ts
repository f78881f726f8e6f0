import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { OWN_MOUNTS } from '../support/mount-namespace.js';
import { loopsUnder, mounts, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

/** Runs the CLI in a mount namespace of its own, after `before` has changed what is mounted there. */
function inNamespace(before: string, cli: Cli, ...args: string[]): ReturnType<typeof tryRun> {
  const inside = ['sh', '-ec', `${before}; exec "$@"`, 'sh', ...CLI_COMMAND, ...args];
  return tryRun('unshare', [...OWN_MOUNTS, ...inside], {
    env: { ...process.env, THINFUSE_ROOT: cli.root },
  });
}

describe('init that cannot end well', function () {
  requireMounts(['mkfs.xfs', 'unshare']);
  const scratch = useScratch();
  let count = 0;
  let cli: Cli;

  beforeEach(() => {
    cli = new Cli(scratch.current, `root${count++}`);
  });

  const untouched = async (): Promise<void> => {
    assert.equal(existsSync(cli.root), false);
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.deepEqual(
      (await mounts()).filter(({ target }) => target.startsWith(cli.root)),
      [],
    );
  };

  it('names the package of a missing mkfs', async () => {
    const tool = (await run('sh', ['-c', 'command -v mkfs.xfs'])).trim();
    const { code, stderr } = await inNamespace(
      `mount --bind /dev/null "$(readlink -f ${tool})"`,
      cli,
      'init',
    );
    assert.equal(code, 8, stderr);
    assert.match(stderr, /mkfs\.xfs.*apt-get install xfsprogs/);
    await untouched();
  });

  it('says what to do without /dev/fuse', async () => {
    const gone = scratch.current.at('no-fuse');
    await mkdir(gone, { recursive: true });
    const hide = `mount -t tmpfs tmpfs ${gone}; cp -a /dev/null /dev/urandom /dev/zero ${gone}; mount --bind ${gone} /dev`;
    const { code, stderr } = await inNamespace(hide, cli, 'init');
    assert.equal(code, 8, stderr);
    assert.match(stderr, /\/dev\/fuse is missing/);
    await untouched();
  });

  it('says what to do without loop devices, and takes back what it made', async () => {
    const gone = scratch.current.at('no-loop');
    await mkdir(gone, { recursive: true });
    const hide = `mount -t tmpfs tmpfs ${gone}; cp -a /dev/null /dev/urandom /dev/zero /dev/fuse ${gone}; mount --bind ${gone} /dev`;
    const { code, stderr } = await inNamespace(hide, cli, 'init');
    assert.equal(code, 8, stderr);
    assert.match(stderr, /loop/);
    await untouched();
  });

  it('takes back what it made when mkfs fails', async () => {
    const { code, stderr } = await cli.try('init', '--opt', 'dm.mkfsarg=--no-such-option');
    assert.notEqual(code, 0);
    assert.match(stderr, /mkfs\.xfs/);
    await untouched();
  });

  it('takes back what it made when it is interrupted', async () => {
    const [command = '', ...before] = CLI_COMMAND;
    const child = scratch.current.start(command, [...before, 'init', '--root', cli.root]);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    for (let poll = 0; !existsSync(path.join(cli.root, 'devicemapper/CURRENT')) && poll < 2000; poll++)
      await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGINT');
    assert.equal(await ended, 1);
    await untouched();
  });

  it('leaves a folder that was there as it was', async () => {
    await mkdir(cli.root);
    await chmod(cli.root, 0o750);
    const { code } = await cli.try('init', '--opt', 'dm.mkfsarg=--no-such-option');
    assert.notEqual(code, 0);
    assert.deepEqual(await readdir(cli.root), []);
    assert.equal((await stat(cli.root)).mode & 0o777, 0o750);
  });

  it('says that the disk is full, and leaves it as it was', async () => {
    await mkdir(cli.root);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', cli.root]);
    const { code, stderr } = await cli.try('init');
    assert.equal(code, 6, stderr);
    assert.match(stderr, /full|space/);
    assert.deepEqual(await readdir(cli.root), []);
    await run('umount', [cli.root]);
  });
});
