import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { MountMessage } from '../../src/containerd/messages.js';
import { STATUS } from '../../src/containerd/status.js';
import { Cli } from '../support/cli.js';
import { loopsUnder, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

interface Listed {
  readonly name: string;
  readonly label: string;
}

describe('end to end: snapshots of containerd', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'fsfreeze']);
  const scratch = useScratch();
  let cli: Cli;
  let client: SnapshotClient;

  const socket = (): string => path.join(cli.root, 'snapshotter.sock');
  /** Without the empty filesystem that snapshots start from. */
  const devices = async (): Promise<Listed[]> =>
    (await cli.json<Listed[]>('ls')).filter(({ label }) => label !== 'containerd:base');

  /** As containerd does it, on a folder of its own; returns the folder. */
  async function mount([first]: readonly MountMessage[], name: string): Promise<string> {
    assert(first !== undefined);
    const target = scratch.current.at(name);
    await mkdir(target, { recursive: true });
    const type = first.type === 'bind' ? [] : ['-t', first.type];
    await run('mount', [...type, '-o', first.options.join(','), first.source, target]);
    return target;
  }
  const unmount = (target: string): Promise<string> => run('umount', [target]);

  async function start(...more: readonly string[]): Promise<void> {
    await cli.run('start', ...more, '--snapshotter');
    client = new SnapshotClient(socket());
  }
  async function stop(): Promise<void> {
    client.close();
    await cli.run('stop');
  }

  before('make a pool and start it', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    await start();
  });
  after(() => client.close());

  it('commits what was written, and starts others from it', async () => {
    const layer = await mount(await client.prepare('extract'), 'layer');
    assert.equal((await run('stat', ['--file-system', '--format=%T', layer])).trim(), 'ext2/ext3');
    assert.equal((await stat(layer)).mode & 0o777, 0o755);
    await writeFile(path.join(layer, 'file'), 'of the layer');
    await unmount(layer);
    await client.commit('sha256:layer', 'extract');
    assert.deepEqual(await loopsUnder(cli.root), []);

    const container = await mount(await client.prepare('container', 'sha256:layer'), 'container');
    assert.equal(await readFile(path.join(container, 'file'), 'utf8'), 'of the layer');
    await writeFile(path.join(container, 'file'), 'of the container');
    const view = await mount(await client.view('view', 'sha256:layer'), 'view');
    assert.equal(await readFile(path.join(view, 'file'), 'utf8'), 'of the layer');
    await assert.rejects(writeFile(path.join(view, 'new'), ''), { code: 'EROFS' });
    await unmount(view);
    await client.remove('view');
    assert.equal((await devices()).length, 3);
  });

  it('shows a live container to whoever compares it', async () => {
    const live = await mount(await client.mounts('container'), 'second-look');
    assert.equal(await readFile(path.join(live, 'file'), 'utf8'), 'of the container');
    await unmount(live);
  });

  it('commits a live container without what it writes later, also to files that it has open', async () => {
    const container = scratch.current.at('container');
    const file = await open(path.join(container, 'open'), 'w');
    await file.write('before ');
    await client.commit('sha256:live', 'container');
    await assert.rejects(client.stat('container'), { code: STATUS.NOT_FOUND });
    await file.write('after');
    await file.sync();
    await file.close();
    await writeFile(path.join(container, 'later'), '');
    assert.equal(await readFile(path.join(container, 'open'), 'utf8'), 'before after');

    const view = await mount(await client.view('view', 'sha256:live'), 'view');
    assert.equal(await readFile(path.join(view, 'open'), 'utf8'), 'before ');
    assert.equal(existsSync(path.join(view, 'later')), false);
    await unmount(view);
    await client.remove('view');
    const child = await mount(await client.prepare('child', 'sha256:live'), 'child');
    assert.equal(await readFile(path.join(child, 'open'), 'utf8'), 'before ');
    await unmount(child);
    await client.remove('child');

    assert.equal((await devices()).filter(({ label }) => label === 'containerd:retired').length, 1);
    await unmount(container);
    await client.cleanup();
    assert.equal((await devices()).filter(({ label }) => label === 'containerd:retired').length, 0);
  });

  it('commits by a snapshot what a process works in, in the mount of the daemon itself', async () => {
    const [bind] = await client.prepare('worked-in');
    assert(bind !== undefined);
    await writeFile(path.join(bind.source, 'file'), 'one');
    const holder = scratch.current.start('sleep', ['600'], { cwd: bind.source });
    await client.commit('worked', 'worked-in');
    await writeFile(path.join(bind.source, 'file'), 'two');
    const view = await mount(await client.view('view', 'worked'), 'view');
    assert.equal(await readFile(path.join(view, 'file'), 'utf8'), 'one');
    await unmount(view);
    await client.remove('view');
    await client.remove('worked');
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    holder.kill();
    await gone;
    await client.cleanup();
  });

  it('removes what is in use, and its device when it is not any more', async () => {
    const target = await mount(await client.prepare('used'), 'used');
    await writeFile(path.join(target, 'file'), 'still here');
    const before = (await devices()).length;
    await client.remove('used');
    assert.equal((await devices()).length, before);
    assert.equal(await readFile(path.join(target, 'file'), 'utf8'), 'still here');
    await unmount(target);
    await client.cleanup();
    assert.equal((await devices()).length, before - 1);
  });

  it('has write say when a container is full, and more when it may have more', async () => {
    const size = 'containerd.io/snapshot/thinfuse.size';
    const target = await mount(await client.prepare('bounded', 'sha256:layer', { [size]: '40M' }), 'bounded');
    const dd = (): Promise<{ code: number }> =>
      tryRun('dd', ['if=/dev/zero', `of=${target}/file`, 'bs=1M', 'count=60']);
    const left = async (): Promise<number> => {
      const { bavail, bsize } = await statfs(target);
      return (bavail * bsize) / 2 ** 20;
    };
    assert((await left()) < 41);
    assert.equal((await dd()).code, 1);
    assert((await stat(path.join(target, 'file'))).size < 41 * 2 ** 20);
    await client.update({ name: 'bounded', labels: { [size]: '100M' } }, [`labels.${size}`]);
    assert.equal((await dd()).code, 0);
    await rm(path.join(target, 'file'));
    await unmount(target);
    // Beyond what its image has: in use, that takes a right that a container may lack, and then it waits.
    await client
      .update({ name: 'bounded', labels: { [size]: '1G' } }, [`labels.${size}`])
      .catch(() => undefined);
    await mount(await client.mounts('bounded'), 'bounded');
    assert((await left()) > 600);
    await unmount(target);
    await client.remove('bounded');
  });

  it('has everything after a stop, and after a crash', async () => {
    const target = await mount(await client.prepare('kept', 'sha256:layer', { some: 'label' }), 'kept');
    await writeFile(path.join(target, 'kept'), 'flushed');
    await run('sync', ['--file-system', target]);
    await unmount(target);
    const before = await client.list();
    await stop();
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    await start();
    assert.deepEqual(await client.list(), before);
    client.close();
    await cli.kill();
    await start();
    assert.deepEqual(await client.list(), before);
    const again = await mount(await client.mounts('kept'), 'kept');
    assert.equal(await readFile(path.join(again, 'kept'), 'utf8'), 'flushed');
    await unmount(again);
  });

  it('mounts again what somebody unmounted behind its back', async () => {
    const [bind] = await client.mounts('kept');
    await unmount(bind?.source ?? '');
    const target = await mount(await client.mounts('kept'), 'kept');
    assert.equal(await readFile(path.join(target, 'kept'), 'utf8'), 'flushed');
    await unmount(target);
  });

  it('gives loop devices where it is told to', async () => {
    await stop();
    await start('--snapshot-mounts', 'loop');
    const target = await mount(await client.prepare('by-loop', 'sha256:layer'), 'by-loop');
    await writeFile(path.join(target, 'file'), 'by loop');
    await assert.rejects(client.commit('loop', 'by-loop'), { code: STATUS.FAILED_PRECONDITION });
    const label = 'containerd.io/snapshot/thinfuse.size';
    await client.update({ name: 'by-loop', labels: { [label]: '1G' } }, [`labels.${label}`]);
    const [loop = ''] = await loopsUnder(cli.root);
    assert.equal(Number(await run('blockdev', ['--getsize64', loop])), 2 ** 30);
    assert.equal(await readFile(path.join(target, 'file'), 'utf8'), 'by loop');
    await unmount(target);
    await client.commit('loop', 'by-loop');
    const view = await mount(await client.view('view', 'loop'), 'view');
    assert.equal(await readFile(path.join(view, 'file'), 'utf8'), 'by loop');
    await unmount(view);
    for (const key of ['view', 'loop']) await client.remove(key);
  });

  it('gives all space back', async () => {
    for (const key of ['kept', 'sha256:live', 'sha256:layer']) await client.remove(key);
    await stop();
    assert.equal((await devices()).length, 1);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.equal(existsSync(socket()), false);
  });
});
