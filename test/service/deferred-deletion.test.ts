import assert from 'node:assert/strict';
import { SocketClient } from '../../src/api/client.js';
import { eventually } from '../support/eventually.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';

const IMAGE = 'docker-8:1-42-web';

describe('deferred removal and deletion', () => {
  const scratch = useScratch();
  let count = 0;
  let fake: FakeDaemon;
  let client: SocketClient;

  async function start(pool: FakePool): Promise<void> {
    fake = await startFakeDaemon(scratch.current.at(`root${count++}`), { pool });
    client = new SocketClient(fake.socket);
  }

  async function isThere(): Promise<boolean> {
    return (await client.call('device.list', {})).some(({ name }) => name === 'web');
  }

  async function gone(): Promise<void> {
    await eventually('the device is gone', async () => !(await isThere()));
  }

  beforeEach(async () => {
    await start(new FakePool({ options: { deferredRemoval: true, deferredDeletion: true } }));
    await client.call('device.create', { name: 'debian', kind: 'image' });
    await client.call('device.create', { name: 'web', origin: 'debian', kind: 'container' });
  });
  afterEach(() => fake.daemon.stop('the test is over'));

  it('marks a mounted device, refuses anything new with it, and removes it when it is unmounted', async () => {
    await client.call('mount', { name: 'web' });
    assert.deepEqual(await client.call('device.remove', { name: 'web' }), { deferred: true });
    assert.deepEqual(await client.call('device.remove', { name: 'web' }), { deferred: true });
    assert.equal((await client.call('device.get', { name: 'web' })).deleted, true);
    for (const attempt of [
      client.call('mount', { name: 'web' }),
      client.call('activate', { name: 'web' }),
      client.call('device.grow', { name: 'web', size: 2 ** 40 }),
      client.call('device.rename', { name: 'web', to: 'web2' }),
      client.call('device.create', { name: 'copy', origin: 'web', kind: 'snapshot' }),
      client.call('view.open', { name: 'web', holder: process.pid }),
    ])
      await assert.rejects(attempt, { code: 'busy', message: /marked deleted/ });
    await client.call('umount', { name: 'web' });
    assert.equal(await isThere(), false);
  });

  it('removes a device at once that is active without a user', async () => {
    await client.call('activate', { name: 'web' });
    assert.deepEqual(await client.call('device.remove', { name: 'web' }), { deferred: false });
    assert.equal(await isThere(), false);
  });

  it('removes an open device when its last file is closed', async () => {
    await client.call('activate', { name: 'web' });
    fake.directory.opened?.(IMAGE, 1, true);
    fake.directory.opened?.(IMAGE, 1, true);
    assert.deepEqual(await client.call('device.remove', { name: 'web' }), { deferred: true });
    fake.directory.opened?.(IMAGE, -1, true);
    assert.equal(await isThere(), true);
    fake.directory.opened?.(IMAGE, -1, true);
    await gone();
  });

  it('deactivates an open device with its last user, unless it is activated again before', async () => {
    const active = async (): Promise<boolean> => (await client.call('device.get', { name: 'web' })).active;
    await client.call('activate', { name: 'web' });
    fake.directory.opened?.(IMAGE, 1, true);
    assert.deepEqual(await client.call('deactivate', { name: 'web' }), { deferred: true });
    await client.call('activate', { name: 'web' });
    fake.directory.opened?.(IMAGE, -1, true);
    assert.equal(await active(), true);
    fake.directory.opened?.(IMAGE, 1, true);
    await client.call('deactivate', { name: 'web' });
    fake.directory.opened?.(IMAGE, -1, true);
    await eventually('the device is inactive', async () => !(await active()));
  });

  it('unmounts a filesystem that another namespace keeps, whose device goes with that', async () => {
    const { path } = await client.call('mount', { name: 'web' });
    fake.directory.opened?.(IMAGE, 1, true);
    fake.host.left.add(path);
    await client.call('umount', { name: 'web' });
    const { mountPoint, active } = await client.call('device.get', { name: 'web' });
    assert.deepEqual([mountPoint, active], [undefined, true]);
    assert.deepEqual(await client.call('device.remove', { name: 'web' }), { deferred: true });
    fake.directory.opened?.(IMAGE, -1, true);
    await gone();
  });

  it('goes on after a restart with what is marked', async () => {
    await client.call('mount', { name: 'web' });
    await client.call('device.remove', { name: 'web' });
    const { pool } = fake;
    await fake.daemon.stop('a restart');
    await start(pool);
    assert.equal(await isThere(), false);
  });

  it('removes what force says at once, and leaves the rest to the options', async () => {
    await client.call('mount', { name: 'web' });
    await client.call('device.remove', { name: 'web' });
    assert.deepEqual(await client.call('device.remove', { name: 'web', force: true }), { deferred: false });
    assert.equal(await isThere(), false);
    await fake.daemon.stop('the options change');
    await start(new FakePool({ options: { deferredRemoval: true, deferredDeletion: false } }));
    await client.call('device.create', { name: 'web', kind: 'snapshot' });
    await client.call('mount', { name: 'web' });
    await assert.rejects(client.call('device.remove', { name: 'web' }), { code: 'busy' });
  });
});
