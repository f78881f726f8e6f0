import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { HeldTool } from '../support/held-tool.js';
import { loopsUnder, mounts, requireMounts, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';
import { VolumeClient } from '../support/volume-client.js';

describe('a daemon that is killed while a tool of its runs', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'losetup']);
  const scratch = useScratch();
  let cli: Cli;
  let root = 0;

  beforeEach(() => {
    cli = new Cli(scratch.current, `root-${root++}`);
  });

  async function begin(tool: HeldTool, ...how: readonly string[]): Promise<void> {
    await cli.run('init', '--data', 'leveldb', '--data-size', '2G', '--base-size', '512M');
    const { code, stderr } = await cli.tryWith(tool.env, 'start', ...how);
    assert.equal(code, 0, stderr);
    await cli.run('snapshot', 'work', 'base');
  }

  /** What the tool did, or did not, is as the daemon knows it: nothing is left, and the end is in order. */
  async function assertInOrder(): Promise<void> {
    const [work] = (
      await cli.json<{ name: string; active: boolean; mountPoint: string | null }[]>('ls')
    ).filter(({ name }) => name === 'work');
    const mounted = (await mounts()).filter(({ target }) => target.startsWith(path.join(cli.root, 'mnt')));
    assert.deepEqual(
      mounted.map(({ target }) => target),
      [work?.mountPoint].filter((target) => typeof target === 'string'),
    );
    assert.equal((await loopsUnder(cli.root)).length, mounted.length);
    assert.equal(work?.active, mounted.length > 0);
    // It can be used as any other.
    if (mounted.length === 0) await cli.run('mount', 'work');
    await cli.run('umount', 'work');
    await cli.run('rm', 'work');
    await cli.run('stop');
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  }

  for (const [tool, pattern] of [
    ['losetup', '*--find*--show*'],
    ['mount', '*/mnt/work*'],
  ] as const)
    it(`is followed by one that knows of no mount, where ${tool} was held (supervised)`, async () => {
      const held = await HeldTool.make(scratch.current, tool, pattern);
      await begin(held, '--supervised');
      await held.hold();
      const mounting = cli.try('mount', 'work');
      await held.held();
      await cli.die();
      assert.notEqual((await mounting).code, 0);
      await held.release();
      await assertInOrder();
    });

  it('is followed by one that knows that the device is mounted, where umount was held', async () => {
    const held = await HeldTool.make(scratch.current, 'umount', '*/mnt/work*');
    await begin(held, '--supervised');
    await cli.run('mount', 'work');
    await held.hold();
    const unmounting = cli.try('umount', 'work');
    await held.held();
    await cli.die();
    assert.notEqual((await unmounting).code, 0);
    await held.release();
    await assertInOrder();
  });

  it('is started again while its losetup still stands still', async () => {
    const held = await HeldTool.make(scratch.current, 'losetup', '*--find*--show*');
    await begin(held);
    await held.hold();
    const mounting = cli.try('mount', 'work');
    await held.held();
    await cli.kill();
    await mounting;
    await cli.run('start');
    await held.release();
    await assertInOrder();
  });

  it('hears that a mount failed where the process that runs its tools is killed, and nothing of it comes later', async () => {
    const held = await HeldTool.make(scratch.current, 'losetup', '*--find*--show*');
    await begin(held);
    await held.hold();
    const mounting = cli.try('mount', 'work');
    await held.held();
    const [{ sessions }] = JSON.parse(await readFile(path.join(cli.root, 'tools'), 'utf8')) as [
      { sessions: readonly [number] },
    ];
    process.kill(sessions[0], 'SIGKILL');
    const { code, stderr } = await mounting;
    assert.notEqual(code, 0);
    assert.match(stderr, /try again/);
    await held.release();
    await assertInOrder();
  });

  for (const [tool, pattern] of [
    ['losetup', '*--find*--show*'],
    ['mount', '*/mnt/containerd-*'],
  ] as const)
    it(`has the next one answer a Prepare of containerd whose ${tool} was held (supervised)`, async () => {
      const held = await HeldTool.make(scratch.current, tool, pattern);
      const socket = path.join(cli.root, 'snapshotter.sock');
      await cli.run('init', '--data', 'leveldb', '--data-size', '2G', '--base-size', '512M');
      assert.equal((await cli.tryWith(held.env, 'start', '--supervised', '--snapshotter')).code, 0);
      await held.hold();
      const client = new SnapshotClient(socket);
      scratch.current.defer(() => client.close());
      const preparing = client.prepare('work');
      await held.held();
      await cli.die();
      await held.release();
      const [bind] = await preparing;
      assert(bind !== undefined);
      await writeFile(path.join(bind.source, 'file'), '');
      // Of the tool that was held nothing came on top.
      assert.equal((await loopsUnder(cli.root)).length, 1);
      await client.remove('work');
      assert.deepEqual(await client.list(), []);
      await eventually('no loop device is left', async () => (await loopsUnder(cli.root)).length === 0);
      await cli.run('stop');
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
      const names = (await cli.json<{ name: string }[]>('ls')).map(({ name }) => name);
      // Those of the pool, and what empty snapshots of another size are made from.
      assert.deepEqual(
        names.filter((name) => !/^(containerd-)?base\b/.test(name)),
        [],
      );
    });

  it('is followed by one that makes the volume whose mkfs was held, and leaves no loop device', async () => {
    const held = await HeldTool.make(scratch.current, 'mkfs.xfs', '*');
    await cli.run('init', '--data', 'leveldb', '--data-size', '2G', '--base-size', '512M');
    const plugin = path.join(scratch.current.at('volumes.sock'));
    assert.equal((await cli.tryWith(held.env, 'start', '--supervised', '--volume-plugin', plugin)).code, 0);
    await held.hold();
    const client = new VolumeClient(plugin);
    // Of another size than the base device, whose clone it would be.
    const making = client.create('vol', { size: '400M', fs: 'xfs' });
    await held.held();
    await cli.die();
    await held.release();
    await making;
    assert.deepEqual(await client.names(), ['vol']);
    await eventually('no loop device is left', async () => (await loopsUnder(cli.root)).length === 0);
    await cli.run('stop');
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });
});
