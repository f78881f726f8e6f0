import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SocketClient } from '../../src/api/client.js';
import { prepareRoot } from '../../src/daemon/init-root.js';
import { mountTarget } from '../../src/host/own-paths.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { spawnDaemon } from '../../src/daemon/spawn-daemon.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { FakePool } from '../support/fake-pool.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { makeBarePool } from '../support/bare-pool.js';
import { useScratch } from '../support/mounts.js';

const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

describe('what is the daemon’s own', function () {
  const scratch = useScratch();
  let made = 0;

  async function bareRoot(): Promise<string> {
    const root = scratch.current.at(`root${made++}`);
    await makeBarePool(root);
    return root;
  }

  it('is open to its owner alone, whatever the umask', async () => {
    const before = process.umask(0);
    try {
      const root = await bareRoot();
      const { daemon, socket } = await startFakeDaemon(root);
      for (const name of ['.', 'dev', 'mnt', 'metadata', 'devicemapper'])
        assert.equal(await modeOf(path.join(root, name)), 0o700, name);
      assert.equal(await modeOf(socket), 0o600);
      assert.equal(await modeOf(path.join(root, 'thinfuse.pid')), 0o600);
      await daemon.stop('the test is over');
      const elsewhere = await scratch.current.folder('elsewhere');
      await chmod(elsewhere, 0o755);
      const other = rootLayout(scratch.current.at('other'));
      const { undo } = await prepareRoot(other, { metadataDir: elsewhere });
      assert.equal(await modeOf(elsewhere), 0o700);
      await undo();
      assert.equal(await modeOf(elsewhere), 0o755);
    } finally {
      process.umask(before);
    }
  });

  it('is closed again at the next start', async () => {
    const root = await bareRoot();
    await chmod(root, 0o755);
    await chmod(path.join(root, 'devicemapper'), 0o755);
    const { daemon } = await startFakeDaemon(root);
    assert.equal(await modeOf(root), 0o700);
    assert.equal(await modeOf(path.join(root, 'devicemapper')), 0o700);
    await daemon.stop('the test is over');
  });

  it('does not follow links in the root into the host', async () => {
    const host = await scratch.current.folder('host');
    await writeFile(path.join(host, 'file'), 'kept');
    await mkdir(path.join(host, 'empty'));
    for (const name of ['dev', 'mnt', 'thinfuse.pid', 'thinfuse.log']) {
      const root = await bareRoot();
      await rm(path.join(root, name), { recursive: true, force: true });
      const isFile = name.startsWith('thinfuse');
      await symlink(isFile ? path.join(host, 'file') : host, path.join(root, name));
      const start =
        name === 'thinfuse.log'
          ? spawnDaemon({ layout: rootLayout(root), args: [], temporary: true })
          : startFakeDaemon(root);
      await assert.rejects(start, { code: 'invalid-argument', message: /does not follow/ }, name);
    }
    assert.deepEqual(await readdir(host), ['empty', 'file']);
    assert.equal(await readFile(path.join(host, 'file'), 'utf8'), 'kept');
  });

  it('mounts on no link that stands in the place of a device’s folder', async () => {
    const root = await bareRoot();
    const host = await scratch.current.folder('host');
    const pool = new FakePool();
    const fake = await startFakeDaemon(root, { pool });
    await pool.createSnapshot({ name: 'web' as DeviceName, origin: BASE_NAME, kind: 'container' });
    await symlink(host, path.join(root, 'mnt', 'web'));
    const client = new SocketClient(fake.socket);
    await assert.rejects(client.call('mount', { name: 'web' }), {
      code: 'invalid-argument',
      message: /does not follow/,
    });
    await assert.rejects(client.call('view.open', { name: 'web', holder: process.pid }), {
      code: 'invalid-argument',
    });
    assert.deepEqual(
      fake.host.log.filter((line) => line.startsWith('mount')),
      [],
    );
    await rm(path.join(root, 'mnt', 'web'));
    await client.call('mount', { name: 'web' });
    await fake.daemon.stop('the test is over');
  });

  it('is not hidden under a mount', async () => {
    const root = await bareRoot();
    const layout = rootLayout(root);
    await symlink(layout.pool, scratch.current.at('link'));
    for (const target of [
      'relative',
      '/',
      path.dirname(layout.root),
      layout.root,
      layout.mounts,
      layout.devices,
      `${layout.devices}/x`,
      layout.pool,
      layout.metadata,
      `${layout.root}/mnt/../devicemapper`,
      scratch.current.at('link'),
      `${scratch.current.at('link')}/new`,
    ])
      await assert.rejects(mountTarget(layout, target), { code: 'invalid-argument' }, target);
    for (const target of [`${layout.mounts}/web`, scratch.current.at('new'), '/mnt'])
      assert.equal(await mountTarget(layout, target), target);
  });

  it('takes no name for a path', async () => {
    const root = await bareRoot();
    const fake = await startFakeDaemon(root);
    const client = new SocketClient(fake.socket);
    const before = await readdir(scratch.current.root, { recursive: true });
    for (const name of [
      '../evil',
      '/evil',
      'a/b',
      '..',
      '.',
      'a\0b',
      'a\nb',
      '',
      'x'.repeat(300),
      '__proto__',
      'metadata/../../evil',
    ])
      for (const call of [
        () => client.call('device.create', { name, kind: 'image' }),
        () => client.call('device.rename', { name: 'base', to: name }),
        () => client.call('mount', { name }),
        () => client.call('activate', { name }),
      ])
        await assert.rejects(call(), name);
    assert.deepEqual(await readdir(scratch.current.root, { recursive: true }), before);
    await fake.daemon.stop('the test is over');
  });
});
