import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { containerdConfig } from '../support/containerd-config.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

describe('end to end: two names of one snapshotter, and containerd', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'containerd', 'ctr']);
  const scratch = useScratch();
  let cli: Cli;

  const ctr = (...args: readonly string[]): Promise<string> =>
    run('ctr', ['--address', scratch.current.at('containerd.sock'), ...args]);
  const snapshots = (name: string, ...args: readonly string[]): Promise<string> =>
    ctr('snapshots', '--snapshotter', name, ...args);
  const devices = async (): Promise<number> =>
    (await cli.json<{ label: string }[]>('ls')).filter(({ label }) => label !== 'containerd:base').length;

  before('a pool under two names', async () => {
    cli = new Cli(scratch.current, 'pool');
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    await cli.run('start', '--snapshotter');
    const config = scratch.current.at('config.toml');
    const at = (name: string): string => scratch.current.at(name);
    const socket = path.join(cli.root, 'snapshotter.sock');
    await writeFile(config, containerdConfig(at, { one: socket, two: socket }));
    scratch.current.start('containerd', ['--config', config]);
    await eventually(
      'containerd answers',
      async () => (await tryRun('ctr', ['--address', at('containerd.sock'), 'version'])).code === 0,
    );
  });

  /** The folder that the daemon has a snapshot on. */
  async function mountOf(name: string, key: string): Promise<string> {
    const said = await snapshots(name, 'mounts', '/nowhere', key);
    return /(\S+\/mnt\/\S+)/.exec(said)?.[1] ?? assert.fail(said);
  }

  it('collects what is under one, and leaves what is under the other', async () => {
    for (const name of ['one', 'two']) {
      await snapshots(name, 'prepare', 'extract');
      await writeFile(path.join(await mountOf(name, 'extract'), 'whose'), name);
      await snapshots(name, 'commit', 'layer', 'extract');
      await snapshots(name, 'prepare', 'keep', 'layer');
    }
    for (const name of ['two', 'one']) {
      await snapshots(name, 'prepare', 'goes', 'layer');
      assert.equal(await devices(), 6);
      await snapshots(name, 'rm', 'goes');
      // The collector walks all that this name lists, and removes what containerd does not know.
      await eventually('its device is gone', async () => (await devices()) <= 5);
      await ctr('leases', 'create', '--id', `of-${name}`);
      await ctr('leases', 'rm', '--sync', `of-${name}`);
      assert.equal(await devices(), 5);
    }
    for (const name of ['one', 'two']) {
      assert.equal(await readFile(path.join(await mountOf(name, 'keep'), 'whose'), 'utf8'), name);
      await snapshots(name, 'rm', 'keep', 'layer');
    }
    let round = 0;
    // A collection that met a snapshot still in use is not begun again by itself.
    await eventually('every snapshot is gone', async () => {
      const lease = `last-${++round}`;
      await ctr('leases', 'create', '--id', lease);
      await ctr('leases', 'rm', '--sync', lease);
      return (await devices()) === 1;
    });
  });
});
