import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { SocketClient } from '../../src/api/client.js';
import { eventually } from '../support/eventually.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { useScratch } from '../support/mounts.js';

const GIB = 2 ** 30;

describe('daemon', () => {
  const scratch = useScratch();
  let count = 0;
  let fake: FakeDaemon;
  let client: SocketClient;

  beforeEach(async () => {
    fake = await startFakeDaemon(scratch.current.at(`root${count++}`));
    client = new SocketClient(fake.socket);
    await client.call('device.create', { name: 'debian', kind: 'image' });
    await client.call('device.create', { name: 'web', origin: 'debian', kind: 'container' });
  });
  afterEach(() => fake.daemon.stop('the test is over'));

  it('makes containers of images only, and images of anything', async () => {
    await assert.rejects(client.call('device.create', { name: 'x', origin: 'web', kind: 'container' }), {
      code: 'invalid-argument',
    });
    await client.call('device.create', { name: 'web-image', origin: 'web', kind: 'image' });
    await client.call('device.create', { name: 'snap', origin: 'web', kind: 'snapshot' });
    await assert.rejects(client.call('device.create', { name: 'y', origin: 'none', kind: 'snapshot' }), {
      code: 'not-found',
    });
  });

  it('starts nothing from a base device without a filesystem', async () => {
    const bare = await startFakeDaemon(scratch.current.at(`root${count++}`), {
      baseInitialized: false,
    });
    const caller = new SocketClient(bare.socket);
    await assert.rejects(caller.call('device.create', { name: 'a', kind: 'image' }), { code: 'damaged' });
    assert.equal((await caller.call('base.format', {})).initialized, true);
    await caller.call('device.create', { name: 'a', kind: 'image' });
    await assert.rejects(caller.call('base.format', {}), { code: 'exists' });
    await bare.daemon.stop('the test is over');
  });

  it('mounts once, and says where when asked again', async () => {
    const first = await client.call('mount', { name: 'web' });
    assert.match(first.path, /\/mnt\/web$/);
    assert.deepEqual(await client.call('mount', { name: 'web' }), first);
    await assert.rejects(client.call('mount', { name: 'web', target: '/srv' }), {
      code: 'busy',
      message: /mounted on .*mnt\/web/,
    });
    await assert.rejects(client.call('mount', { name: 'web', readOnly: true }), { code: 'busy' });
    const device = await client.call('device.get', { name: 'web' });
    assert.equal(device.mountPoint, first.path);
    assert.equal(device.loop, first.loop);
    await client.call('umount', { name: 'web' });
    assert.deepEqual(fake.host.log, ['mount web', 'furnish web', 'unmount web', 'rmdir web']);
    await assert.rejects(client.call('umount', { name: 'web' }), { code: 'not-found' });
    assert.equal((await client.call('device.get', { name: 'web' })).active, false);
  });

  it('mounts an image read-only, and the base not at all', async () => {
    await assert.rejects(client.call('mount', { name: 'debian' }), {
      code: 'invalid-argument',
      message: /--ro/,
    });
    await client.call('mount', { name: 'debian', readOnly: true });
    await assert.rejects(client.call('mount', { name: 'base' }), { code: 'invalid-argument' });
  });

  it('keeps active what was activated by itself', async () => {
    const { path } = await client.call('activate', { name: 'web' });
    assert.match(path, /dev\/docker-8:1-42-web$/);
    await client.call('mount', { name: 'web' });
    await assert.rejects(client.call('deactivate', { name: 'web' }), { code: 'busy', message: /umount/ });
    await client.call('umount', { name: 'web' });
    assert.equal((await client.call('device.get', { name: 'web' })).path, path);
    await client.call('deactivate', { name: 'web' });
    await client.call('deactivate', { name: 'web' });
    assert.equal((await client.call('device.get', { name: 'web' })).path, undefined);
  });

  it('leaves nothing of a mount that failed', async () => {
    fake.host.failure = new Error('no');
    await assert.rejects(client.call('mount', { name: 'web' }), { code: 'internal' });
    const { active, mountPoint } = await client.call('device.get', { name: 'web' });
    assert.deepEqual([active, mountPoint], [false, undefined]);
    assert.deepEqual(fake.host.log, ['rmdir web']);
  });

  it('grows the filesystem at the first mount, and at once where it is mounted', async () => {
    await client.call('device.create', { name: 'big', origin: 'debian', kind: 'container', size: 20 * GIB });
    await client.call('mount', { name: 'big' });
    assert.deepEqual(fake.host.log, ['mount big', `grow to ${20 * GIB}`, 'furnish big']);
    const grown = await client.call('device.grow', { name: 'big', size: 30 * GIB });
    assert.equal(grown.filesystemSize, 30 * GIB);
    await client.call('umount', { name: 'big' });
    await client.call('device.grow', { name: 'big', size: 40 * GIB });
    assert.equal((await client.call('device.get', { name: 'big' })).filesystemSize, 30 * GIB);
  });

  it('freezes a mounted origin while it is snapshotted, and thaws it after a failure', async () => {
    await client.call('mount', { name: 'web' });
    fake.host.log.length = 0;
    await client.call('device.create', { name: 'snap', origin: 'web', kind: 'snapshot' });
    await assert.rejects(client.call('device.create', { name: 'snap', origin: 'web', kind: 'snapshot' }), {
      code: 'exists',
    });
    assert.deepEqual(fake.host.log, ['freeze', 'thaw', 'freeze', 'thaw']);
  });

  it('refuses to remove, rename or seal what is in use; force removes it', async () => {
    await client.call('mount', { name: 'web' });
    for (const attempt of [
      client.call('device.remove', { name: 'web' }),
      client.call('device.rename', { name: 'web', to: 'web2' }),
      client.call('device.seal', { name: 'web' }),
    ])
      await assert.rejects(attempt, { code: 'busy', message: /thinfuse umount web/ });
    fake.host.busy.add((await client.call('device.get', { name: 'web' })).mountPoint ?? '');
    await client.call('device.remove', { name: 'web', force: true });
    await assert.rejects(client.call('device.get', { name: 'web' }), { code: 'not-found' });
    await assert.rejects(client.call('device.remove', { name: 'base', force: true }), {
      code: 'invalid-argument',
    });
  });

  it('views what is mounted where it is, and anything else for itself', async () => {
    const holder = process.pid;
    const { path } = await client.call('view.open', { name: 'debian', holder });
    assert.deepEqual(fake.host.log, ['mount debian ro']);
    await client.call('view.open', { name: 'debian', holder });
    await client.call('view.close', { name: 'debian', holder });
    await assert.rejects(client.call('umount', { name: 'debian' }), {
      code: 'busy',
      message: /diff or an export/,
    });
    await client.call('view.close', { name: 'debian', holder });
    assert.deepEqual(fake.host.log, ['mount debian ro', 'unmount debian', 'rmdir debian']);

    await client.call('mount', { name: 'web' });
    const web = await client.call('view.open', { name: 'web', holder });
    assert.notEqual(web.path, path);
    await client.call('view.close', { name: 'web', holder });
    assert.notEqual((await client.call('device.get', { name: 'web' })).mountPoint, undefined);
  });

  it('forgets views whose reader has died', async () => {
    await client.call('view.open', { name: 'debian', holder: 2 ** 22 + 1 });
    await client.call('umount', { name: 'debian' });
  });

  it('does not stop while a mount is in use, says so, and goes on', async () => {
    const { path } = await client.call('mount', { name: 'web' });
    fake.host.busy.add(path);
    await assert.rejects(client.call('stop', {}), { code: 'busy', message: /goes on.*in use/ });
    assert.equal((await client.call('status', {})).devices.mounted, 1);
    await client.call('stop', { force: true });
    await fake.daemon.ended;
    assert.equal(fake.pool.closed, true);
    assert.equal(existsSync(fake.socket), false);
    assert.deepEqual(fake.host.log.slice(-2), ['unmount web lazily', 'rmdir web']);
  });

  it('unmounts the newest first when it stops', async () => {
    await client.call('mount', { name: 'web' });
    await client.call('mount', { name: 'debian', readOnly: true });
    fake.host.log.length = 0;
    await client.call('stop', {});
    await fake.daemon.ended;
    assert.deepEqual(fake.host.log, ['unmount debian', 'rmdir debian', 'unmount web', 'rmdir web']);
  });

  it('stops in order when its FUSE mount is ended from outside', async () => {
    await client.call('mount', { name: 'web' });
    fake.breakMount();
    await fake.daemon.ended;
    assert.equal(fake.pool.closed, true);
    assert(fake.host.log.includes('unmount web'));
  });

  it('works on devices side by side and on one device in order', async () => {
    let goOn = (): void => undefined;
    fake.host.held.set('web', new Promise((resolve) => (goOn = resolve)));
    const mounting = client.call('mount', { name: 'web' });
    // Requests of several connections come in any order.
    await eventually('web is being mounted', () => fake.host.log.includes('mount web'));
    const unmounting = client.call('umount', { name: 'web' });
    await client.call('mount', { name: 'debian', readOnly: true });
    goOn();
    await Promise.all([mounting, unmounting]);
    const steps = fake.host.log.filter((step) => step.includes('mount'));
    assert.deepEqual(steps, ['mount web', 'mount debian ro', 'unmount web']);
  });
});
