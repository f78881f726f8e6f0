import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import type { DeviceName } from '../../src/format/ids.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { METHODS } from '../../src/volumes/messages.js';
import { packVolumeRecord } from '../../src/volumes/volume-record.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';
import { VolumeClient } from '../support/volume-client.js';

const GIB = 2 ** 30;

describe('volume plugin', () => {
  const scratch = useScratch();
  let count = 0;
  let root: string;
  let socket: string;
  let fake: FakeDaemon;
  let client: VolumeClient;

  async function start(pool: FakePool): Promise<void> {
    fake = await startFakeDaemon(root, { pool, volumes: { socket, patienceMs: 500 } });
    client = new VolumeClient(socket);
  }
  const device = (name: string): DeviceInfo | undefined => fake.pool.device(name as DeviceName);

  beforeEach(async () => {
    root = scratch.current.at(`root${count++}`);
    socket = path.join(root, 'volumes.sock');
    await start(new FakePool());
  });
  afterEach(() => fake.daemon.stop('the test is over'));

  it('answers on a socket of root alone, which goes with it', async () => {
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    await assert.rejects(startFakeDaemon(scratch.current.at('second'), { volumes: { socket } }), {
      code: 'already-running',
    });
    await fake.daemon.stop('now');
    assert.equal(existsSync(socket), false);
  });

  it('says what it is', async () => {
    assert.deepEqual(await client.post('/Plugin.Activate', ''), {
      status: 200,
      type: 'application/vnd.docker.plugins.v1.2+json',
      body: { Implements: ['VolumeDriver'] },
    });
    assert.deepEqual(await client.call('Capabilities'), { Capabilities: { Scope: 'local' } });
    assert.equal((await client.post('/VolumeDriver.Frobnicate', {})).status, 404);
  });

  it('does not say that a volume is not there while the pool lacks what its log has', async () => {
    fake.pool.lacks = 'its log could not be taken over';
    for (const method of ['Get', 'Path', 'Remove', 'Mount'])
      await assert.rejects(client.call(method, { Name: 'db', ID: 'x' }), /its log could not be taken over/);
    fake.pool.lacks = undefined;
    await assert.rejects(client.call('Get', { Name: 'db' }), /no volume/);
  });

  it('makes a volume once, however often it is asked for', async () => {
    await client.create('db', { size: '20G' });
    await client.create('db', { size: '20G' });
    await client.create('db');
    assert.deepEqual(await client.names(), ['db']);
    assert.equal(device('volume-db')?.size, 20 * GIB);
    await assert.rejects(client.create('db', { size: '30G' }), /already, with other options \(size=20G\)/);
    const { Name, Mountpoint, CreatedAt, Status } = await client.get('db');
    assert.deepEqual([Name, Mountpoint, Status['size']], ['db', '', 20 * GIB]);
    assert.equal(new Date(CreatedAt).getTime(), device('volume-db')?.createdAt);
  });

  it('is mounted from the first user to the last', async () => {
    await client.create('db');
    const target = path.join(root, 'mnt/volume-db');
    assert.equal(await client.mount('db', 'one'), target);
    assert.equal(await client.mount('db', 'two'), target);
    assert.equal(await client.mount('db', 'two'), target);
    assert.equal((await client.call('Path', { Name: 'db' })).Mountpoint, target);
    await client.unmount('db', 'two');
    await client.unmount('db', 'nobody');
    assert.equal((await client.get('db')).Mountpoint, target);
    await assert.rejects(client.call('Remove', { Name: 'db' }), /1 containers have it mounted/);
    await client.unmount('db', 'one');
    assert.equal((await client.get('db')).Mountpoint, '');
    await client.call('Remove', { Name: 'db' });
    assert.deepEqual(await client.names(), []);
    assert.equal(device('volume-db'), undefined);
  });

  it('gives the root of a new volume its mode once, and never that of a clone', async () => {
    await client.create('db');
    for (const id of ['one', 'two']) {
      await client.mount('db', id);
      await client.unmount('db', id);
    }
    await client.create('copy', { from: 'db' });
    await client.mount('copy', 'one');
    assert.deepEqual(
      fake.host.log.filter((line) => line.startsWith('bare')),
      ['bare volume-db'],
    );
  });

  it('clones a volume that is in use, at rest', async () => {
    await client.create('db', { size: '20G' });
    await client.mount('db', 'one');
    fake.host.log.length = 0;
    await client.create('copy', { from: 'db' });
    assert.deepEqual(fake.host.log, ['freeze', 'thaw']);
    assert.equal(device('volume-copy')?.originName, 'volume-db');
    assert.equal(device('volume-copy')?.size, 20 * GIB);
    assert.equal((await client.get('copy')).Status['origin'], 'volume-db');
    await client.create('again', { from: 'volume-copy' }).then(
      () => assert.fail('volumes go by their own names'),
      (error: unknown) => assert.match(String(error), /no volume or device "volume-copy"/),
    );
    await assert.rejects(client.create('none', { from: 'nothing' }), /no volume or device "nothing"/);
    await assert.rejects(client.create('small', { from: 'db', size: '1G' }), /smaller/);
    assert.deepEqual(await client.names(), ['copy', 'db']);
  });

  it('makes another filesystem where it is asked for, and nothing where that fails', async () => {
    await client.create('other', { fs: 'ext4' });
    assert(fake.host.log.includes('format'));
    assert.equal(device('volume-other')?.filesystem, 'ext4');
    assert.equal(device('volume-other')?.active, false);
    fake.host.format = () => Promise.reject(new Error('no mkfs'));
    await assert.rejects(client.create('third', { fs: 'ext4' }), /no mkfs/);
    assert.equal(device('volume-third'), undefined);
  });

  it('makes a device of its own for less than the base device has', async () => {
    await client.create('small', { size: '1G' });
    assert.equal(device('volume-small')?.size, GIB);
    assert.equal(device('volume-small')?.originName, undefined);
    await assert.rejects(
      client.create('tiny', { size: '100M' }),
      /100M is too small for xfs, which needs 300M/,
    );
    await client.create('tiny', { size: '100M', fs: 'ext4' });
    assert.deepEqual(await client.names(), ['small', 'tiny']);
  });

  it('bounds what a volume may map, however it is made', async () => {
    await client.create('copy', { quota: '5G' });
    await client.create('own', { quota: '512M', size: '1G' });
    assert.equal(device('volume-copy')?.quota, 5 * GIB);
    assert.equal(device('volume-own')?.quota, GIB / 2);
    assert.equal((await client.get('own')).Status['quota'], GIB / 2);
  });

  it('takes no notice of one whose making was cut off', async () => {
    await fake.pool.createSnapshot({
      name: 'volume-cut' as DeviceName,
      origin: 'base' as DeviceName,
      kind: 'snapshot',
      label: packVolumeRecord({ name: 'cut', state: 'making', options: {} }),
    });
    assert.deepEqual(await client.names(), []);
    await assert.rejects(client.mount('cut', 'one'), /no volume "cut"/);
    await client.create('cut');
    assert.deepEqual(await client.names(), ['cut']);
  });

  it("keeps away from somebody's device that has its name", async () => {
    await fake.pool.createSnapshot({
      name: 'volume-mine' as DeviceName,
      origin: 'base' as DeviceName,
      kind: 'snapshot',
    });
    await assert.rejects(client.create('mine'), /a device volume-mine already/);
    await assert.rejects(client.call('Remove', { Name: 'mine' }), /no volume "mine"/);
    assert.notEqual(device('volume-mine'), undefined);
  });

  it('has its volumes after a restart, and nobody who uses them', async () => {
    await client.create('db');
    await client.mount('db', 'one');
    const { pool } = fake;
    await fake.daemon.stop('a restart');
    await start(pool);
    assert.deepEqual(await client.names(), ['db']);
    await client.unmount('db', 'one');
    await client.mount('db', 'two');
    await client.unmount('db', 'two');
    await client.call('Remove', { Name: 'db' });
  });

  it('leaves mounted what a process still works in, and does not remove it', async () => {
    await client.create('db');
    const target = await client.mount('db', 'one');
    fake.host.busy.add(target);
    await client.unmount('db', 'one');
    assert.equal((await client.get('db')).Mountpoint, target);
    await assert.rejects(client.call('Remove', { Name: 'db' }), /a process works in it/);
    const removed = client.call('Remove', { Name: 'db' });
    fake.host.busy.clear();
    await removed;
    assert.deepEqual(await client.names(), []);
  });

  it('takes many calls at once', async () => {
    await client.create('db');
    await Promise.all(Array.from({ length: 20 }, (_, index) => client.mount('db', String(index))));
    await Promise.all(Array.from({ length: 20 }, (_, index) => client.unmount('db', String(index))));
    await Promise.all(Array.from({ length: 10 }, () => client.create('same')));
    assert.deepEqual(await client.names(), ['db', 'same']);
    assert.equal((await client.get('db')).Mountpoint, '');
  });

  it('answers whatever it is asked, and stays as it is', async function () {
    await client.create('db');
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      fc.record(
        {
          Name: fc.oneof(fc.constant('db'), fc.string(), fc.jsonValue()),
          ID: fc.oneof(fc.string(), fc.jsonValue()),
          Opts: fc.oneof(
            fc.dictionary(
              fc.constantFrom('size', 'from', 'fs', 'x'),
              fc.constantFrom('', '-1', '1e9', 'db ', '\0'),
            ),
            fc.jsonValue(),
          ),
        },
        { requiredKeys: [] },
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...METHODS), body, async (method, given) => {
        if (method === 'VolumeDriver.Remove' || method === 'VolumeDriver.Create') {
          const name = (given as { Name?: unknown } | null)?.Name;
          fc.pre(typeof given === 'object' && (name !== 'db' || method.endsWith('Create')));
        }
        const answer = await client.post(`/${method}`, given);
        assert([200, 400, 500].includes(answer.status), String(answer.status));
        if (answer.status !== 200) assert.notEqual(answer.body.Err ?? '', '');
        assert.notEqual(device('volume-db'), undefined);
      }),
      { numRuns: 300 },
    );
    for (const answer of [
      await client.post('/VolumeDriver.Create', '{"Name":'),
      await client.post('/VolumeDriver.Create', `{"Name":"${'x'.repeat(70_000)}"}`),
      await client.post('/VolumeDriver.Create', '[]'),
      await client.post('/VolumeDriver.Create', Buffer.from([0xff, 0xfe, 0])),
      await client.post('/VolumeDriver.Create', { Name: '../../etc' }),
    ]) {
      assert(answer.status >= 400, JSON.stringify(answer));
      assert.notEqual(answer.body.Err ?? '', '');
    }
  });

  it('takes no calls while the daemon stops, and does again where that was given up', async () => {
    await client.create('db');
    fake.host.busy.add(await client.mount('db', 'one'));
    const { SocketClient } = await import('../../src/api/client.js');
    await assert.rejects(new SocketClient(fake.socket).call('stop', {}), { code: 'busy' });
    await client.create('later');
    fake.host.busy.clear();
  });
});
