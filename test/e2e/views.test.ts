import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { cp, mkdir, open, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MountMessage } from '../../src/containerd/messages.js';
import type { Filesystem } from '../../src/host/filesystems.js';
import { BUILT, Cli } from '../support/cli.js';
import { loopsUnder, mounts, requireMounts, run, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

type Sums = ReadonlyMap<string, string>;

const INCOMPLETE = 10;
const HIDDEN = '~view';
const POLL_MS = 100;
const POLLS = 600;

/**
 * Files that are durable one by one when it resolves, as databases make them: nothing brings the filesystem's
 * log home.
 */
async function writeDurably(folder: string, names: readonly string[]): Promise<Map<string, string>> {
  const sums = new Map<string, string>();
  for (const name of names) {
    const bytes = randomBytes(100_000);
    const file = await open(path.join(folder, name), 'w');
    await file.writeFile(bytes);
    await file.sync();
    await file.close();
    sums.set(name, sumOf(bytes));
  }
  const directory = await open(folder);
  await directory.sync();
  await directory.close();
  return sums;
}

function sumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function holds(folder: string, sums: Sums, what: string): Promise<void> {
  const present = new Set(await readdir(folder));
  for (const [name, sum] of sums) {
    assert(present.has(name), `${what}: ${name} is not there`);
    assert.equal(sumOf(await readFile(path.join(folder, name))), sum, `${what}: ${name}`);
  }
}

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let poll = 0; poll < POLLS; poll++) {
    if (await done()) return;
    await sleep(POLL_MS);
  }
  throw new Error(`never came: ${what}`);
}

const NAMES = ['a', 'b', 'c'];

describe('read-only views show all that was durable', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'fsfreeze', 'tar']);
  const scratch = useScratch();

  async function pool(name: string, filesystem: Filesystem, data = false): Promise<Cli> {
    const cli = new Cli(scratch.current, name);
    const where = data ? ['--data', scratch.current.at(`${name}.img`)] : [];
    await cli.run('init', '--fs', filesystem, '--base-size', '512M', '--data-size', '4G', ...where);
    await cli.run('start');
    await cli.run('image', 'create', 'image');
    for (const made of ['web', 'plain']) await cli.run('container', 'create', made, '--image', 'image');
    return cli;
  }

  /** A container `web` whose writer died with the daemon: its log is not clean. */
  async function crashed(
    name: string,
    filesystem: Filesystem,
    data = false,
  ): Promise<{ cli: Cli; sums: Sums }> {
    const cli = await pool(name, filesystem, data);
    const mounted = (await cli.run('mount', 'web')).trim();
    const sums = await writeDurably(path.join(mounted, 'rootfs'), NAMES);
    await cli.kill();
    await cli.run('start');
    return { cli, sums };
  }

  async function shows(cli: Cli, device: string, sums: Sums): Promise<void> {
    const target = scratch.current.at(`view-${device}`);
    await cli.run('mount', '--ro', device, target);
    await holds(path.join(target, 'rootfs'), sums, `mount --ro ${device}`);
    await cli.run('umount', device);
  }

  /** Nothing of a view is left, in memory or on disk. */
  async function leavesNothing(cli: Cli): Promise<void> {
    assert.deepEqual(await loopsUnder(cli.root), []);
    const { devices } = await cli.json<{ devices: number }>('check');
    assert.equal(devices, (await cli.json<unknown[]>('ls')).length);
    assert.equal((await cli.run('dump')).includes(HIDDEN), false);
    const docker = path.join(cli.root, 'metadata');
    for (const name of await readdir(docker))
      assert.equal((await readFile(path.join(docker, name), 'utf8')).includes(HIDDEN), false, name);
  }

  for (const [filesystem, data] of [
    ['xfs', false],
    ['ext4', true],
  ] as const)
    it(`after SIGKILL, on ${filesystem} in a ${data ? 'direct' : 'leveldb'} pool, and leave the device as it is`, async () => {
      const { cli, sums } = await crashed(`killed-${filesystem}`, filesystem, data);
      const raw = scratch.current.at(`${filesystem}.raw`);
      const device = async (): Promise<string> => {
        await cli.run('export', 'web', '--format', 'raw', '--output', raw);
        const { stdout } = { stdout: await run('sha256sum', [raw]) };
        await run('rm', [raw]);
        return stdout;
      };
      const before = await device();

      await cli.run('mount', '--ro', 'web');
      const during = JSON.stringify(await cli.json('ls')) + (await cli.run('tree')) + (await cli.run('df'));
      assert.equal(during.includes(HIDDEN), false);
      assert.deepEqual((await cli.call('status', {})).devices, { total: 4, active: 0, mounted: 1 });
      const advice = await cli.try('doctor');
      assert.equal(advice.code, 0, advice.stdout + advice.stderr);
      assert.equal((await cli.run('dump')).includes(HIDDEN), true, 'the log was replayed in a snapshot');
      await cli.run('umount', 'web');

      await shows(cli, 'web', sums);
      const tar = scratch.current.at(`${filesystem}.tar`);
      await cli.run('export', 'web', '--output', tar);
      const unpacked = await scratch.current.folder(`${filesystem}-unpacked`);
      await run('tar', ['-xf', tar, '-C', unpacked]);
      await holds(unpacked, sums, 'export');
      const changed = async (...names: string[]): Promise<string[]> =>
        (await cli.json<{ kind: string; path: string }[]>('diff', ...names)).map(
          ({ kind, path: where }) => kind + where,
        );
      const added = NAMES.map((name) => `A/${name}`);
      for (const compared of [await changed('web'), await changed('web', 'plain')])
        assert.deepEqual(compared.filter((change) => added.includes(change)).sort(), added);
      await cli.run('container', 'commit', 'web', 'committed');
      await shows(cli, 'committed', sums);
      assert.equal(await device(), before);

      const mounted = (await cli.run('mount', 'web')).trim();
      await holds(path.join(mounted, 'rootfs'), sums, 'mount');
      await cli.run('umount', 'web');
      await leavesNothing(cli);
      await cli.run('stop');
    });

  it('go with a daemon that dies, and with a reader that does', async () => {
    const { cli, sums } = await crashed('left', 'xfs');
    await cli.run('mount', '--ro', 'web');
    await cli.kill();
    await cli.run('start');
    await leavesNothing(cli);
    await shows(cli, 'web', sums);

    const reader = scratch.current.start('sleep', ['600']);
    const { path: folder } = await cli.call('view.open', { name: 'web', holder: reader.pid ?? 0 });
    await holds(path.join(folder, 'rootfs'), sums, 'view.open');
    reader.kill('SIGKILL');
    await until('the view goes', async () => (await loopsUnder(cli.root)).length === 0);
    await until('its snapshot goes', async () => {
      const { devices } = await cli.json<{ devices: number }>('check');
      return devices === (await cli.json<unknown[]>('ls')).length;
    });
    await leavesNothing(cli);
    await cli.run('stop');
  });

  it('say what they lack, by their exit code too, where the pool takes no snapshot', async () => {
    const { cli, sums } = await crashed('full', 'ext4');
    const filled = (await cli.run('mount', 'plain')).trim();
    await writeFile(path.join(filled, 'filler'), randomBytes(64 * 2 ** 20));
    await cli.run('umount', 'plain');
    await cli.run('stop');
    await cli.run('start', '--opt', 'dm.min_free_space=99%');
    const plain = await cli.try('mount', '--ro', 'web');
    assert.equal(plain.code, INCOMPLETE);
    assert.match(plain.stderr, /device web is shown without what its filesystem's log holds.*free/s);
    assert((await mounts()).some(({ target }) => target === plain.stdout.trim()));
    const json = await cli.try('--json', 'mount', '--ro', 'web');
    assert.equal(json.code, INCOMPLETE);
    assert.match((JSON.parse(json.stdout) as { lacks: string }).lacks, /device web is shown without/);
    assert.equal((JSON.parse(json.stderr) as { error: { code: string } }).error.code, 'incomplete');
    await cli.run('umount', 'web');
    for (const command of [
      ['diff', 'web'],
      ['export', 'web', '--output', scratch.current.at('part.tar')],
    ]) {
      const { code, stderr } = await cli.try(...command);
      assert.equal(code, INCOMPLETE, stderr);
      assert.match(stderr, /is shown without what its filesystem's log holds/);
    }
    // Nothing was lost, and a clean log lacks nothing.
    await cli.run('mount', '--ro', 'plain');
    await cli.run('umount', 'plain');
    await cli.run('stop');
    await cli.run('start', '--opt', 'dm.min_free_space=0%');
    await shows(cli, 'web', sums);
    await leavesNothing(cli);
    await cli.run('stop');
  });

  it('after a power cut, and of snapshots of a device that its user mounts and writes to', async () => {
    const cli = await pool('cut', 'xfs');
    const image = (await cli.run('activate', 'web')).trim();
    const loop = await scratch.current.attach(image);
    const target = await scratch.current.folder('own-mount');
    await run('mount', ['-o', 'nouuid', loop, target]);
    await mkdir(path.join(target, 'rootfs'));
    const writer = scratch.current.start(
      'sh',
      ['-c', 'i=0; while :; do i=$((i+1)); head -c 5000 /dev/urandom > n$i; rm -f n$((i-50)); done'],
      { cwd: target },
    );
    const sums = await writeDurably(path.join(target, 'rootfs'), NAMES);
    await cli.run('snapshot', 'snap', 'web');
    await shows(cli, 'snap', sums);

    // What a disk has at a moment: LevelDB's files are appended to, and a copy ends somewhere.
    const after = new Map([...sums, ...(await writeDurably(path.join(target, 'rootfs'), ['last']))]);
    const pid = await cli.daemonPid();
    const cut = new Cli(scratch.current, 'after-cut');
    process.kill(pid, 'SIGSTOP');
    try {
      await mkdir(cut.root, { mode: 0o700 });
      await cp(path.join(cli.root, 'devicemapper'), path.join(cut.root, 'devicemapper'), { recursive: true });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const ended = new Promise((resolve) => writer.once('exit', resolve));
    writer.kill('SIGKILL');
    await ended;
    await run('umount', [target]);
    await scratch.current.detach(loop);
    await cli.run('stop');

    await cut.run('start');
    await shows(cut, 'web', after);
    await shows(cut, 'snap', sums);
    await leavesNothing(cut);
    await cut.run('stop');
  });

  it('of a live container that containerd commits, on a mount and on a loop device', async () => {
    const cli = await pool('containerd', 'xfs');
    await cli.run('stop');
    const socket = path.join(cli.root, 'snapshotter.sock');
    await cli.run('start', `--snapshotter=thinfuse=${socket},fs=xfs`);
    const client = new SnapshotClient(socket);
    const mount = async ([first]: readonly MountMessage[], name: string): Promise<string> => {
      assert(first !== undefined);
      const target = await scratch.current.folder(name);
      const type = first.type === 'bind' ? [] : ['-t', first.type];
      await run('mount', [...type, '-o', first.options.join(','), first.source, target]);
      return target;
    };
    try {
      const live = await mount(await client.prepare('live'), 'live');
      const sums = await writeDurably(live, NAMES);
      const file = await open(path.join(live, 'kept-open'), 'w');
      await client.commit('layer', 'live');
      const bound = await mount(await client.view('bound', 'layer'), 'bound');
      await holds(bound, sums, 'a view, bound');
      await run('umount', [bound]);
      await cli.run('stop', '--force');
      await file.close();
      await cli.run('start', `--snapshotter=thinfuse=${socket},fs=xfs`, '--snapshot-mounts', 'loop');
      const loop = await mount(await client.view('attached', 'layer'), 'attached');
      await holds(loop, sums, 'a view, on a loop device');
      await run('umount', [loop]);
      await client.remove('attached');
    } finally {
      client.close();
    }
    await cli.run('stop', '--force');
  });

  it('below a daemon that is replaced', async function () {
    if (BUILT === undefined) this.skip();
    const cli = await pool('replaced', 'xfs');
    await cli.run('stop');
    await cli.run('start', '--supervised');
    const mounted = (await cli.run('mount', 'web')).trim();
    const sums = await writeDurably(path.join(mounted, 'rootfs'), NAMES);
    await cli.run('snapshot', 'snap', 'web');
    const target = scratch.current.at('goes-on');
    await cli.run('mount', '--ro', 'snap', target);
    assert.equal((await cli.run('dump')).includes(HIDDEN), true, 'xfs leaves its log so on a freeze');
    await cli.die();
    await holds(path.join(target, 'rootfs'), sums, 'the view of before');
    await cli.run('umount', 'snap');
    await cli.run('umount', 'web');
    await leavesNothing(cli);
    await cli.run('stop');
  });
});
