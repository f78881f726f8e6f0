import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { RETIRED_LABEL } from '../../src/containerd/snapshot-record.js';
import { STATUS } from '../../src/containerd/status.js';
import { SocketClient } from '../../src/api/client.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const { NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT, UNAVAILABLE } = STATUS;

describe('snapshotter', () => {
  const scratch = useScratch();
  let count = 0;
  let root: string;
  let fake: FakeDaemon;
  let client: SnapshotClient;

  async function start(pool: FakePool, mounts: 'bind' | 'loop' = 'bind'): Promise<void> {
    const socket = path.join(root, 'snapshotter.sock');
    fake = await startFakeDaemon(root, { pool, snapshotter: { socket, mounts } });
    client = new SnapshotClient(socket);
  }
  async function stop(): Promise<void> {
    client.close();
    await fake.daemon.stop('the test is over');
  }
  const made = (): DeviceInfo[] => fake.pool.devices().filter(({ kind }) => kind !== 'base');
  const deviceOf = (key: string): DeviceInfo => {
    const found = made().find(({ label }) => label.includes(`"key":${JSON.stringify(key)}`));
    assert(found !== undefined, `no device of ${key}`);
    return found;
  };
  const targetOf = (key: string): string => path.join(root, 'mnt', deviceOf(key).name);

  beforeEach(async () => {
    root = scratch.current.at(`root${count++}`);
    await start(new FakePool());
  });
  afterEach(stop);

  it('answers on a socket of root alone, which goes with it', async () => {
    const socket = path.join(root, 'snapshotter.sock');
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    await assert.rejects(
      startFakeDaemon(scratch.current.at('second'), { snapshotter: { socket, mounts: 'bind' } }),
      { code: 'already-running' },
    );
    await fake.daemon.stop('now');
    assert.equal(existsSync(socket), false);
  });

  it('makes an active snapshot, commits it, and makes others from it', async () => {
    assert.deepEqual(await client.prepare('a'), [
      { type: 'bind', source: targetOf('a'), options: ['rbind', 'rw'] },
    ]);
    const device = deviceOf('a').name;
    assert.deepEqual(fake.host.log, [`mount ${device.slice(11)}`, `bare ${device}`, `restore ${device}`]);
    await client.commit('layer', 'a');
    assert.equal(deviceOf('layer').name, device);
    assert.equal(deviceOf('layer').kind, 'image');
    await assert.rejects(client.stat('a'), { code: NOT_FOUND });
    await client.prepare('b', 'layer');
    assert.equal(deviceOf('b').originName, device);
    assert.deepEqual(await client.view('v', 'layer'), [
      { type: 'bind', source: targetOf('v'), options: ['rbind', 'ro'] },
    ]);
    assert(fake.host.log.includes(`mount ${deviceOf('v').name.slice(11)} ro`));
    const { name, parent, kind, labels } = await client.stat('v');
    assert.deepEqual([name, parent, kind, labels], ['v', 'layer', 'VIEW', {}]);
  });

  it('never puts a key into a name, whatever it is', async () => {
    for (const key of [
      '../../etc/passwd',
      'default/1/extract-1 sha256:aa',
      'ä\n\u{1f600}',
      '__proto__',
      'x'.repeat(5000),
    ]) {
      await client.prepare(key);
      assert.equal((await client.stat(key)).name, key);
      await client.remove(key);
    }
    assert.deepEqual(made(), []);
  });

  it('says what is wrong as containerd expects it', async () => {
    await client.prepare('a');
    await client.view('v');
    const wrong: readonly (readonly [Promise<unknown>, number])[] = [
      [client.prepare('a'), ALREADY_EXISTS],
      [client.view('a'), ALREADY_EXISTS],
      [client.prepare('b', 'none'), NOT_FOUND],
      [client.prepare('b', 'a'), INVALID_ARGUMENT],
      [client.prepare(''), INVALID_ARGUMENT],
      [client.commit('c', 'none'), NOT_FOUND],
      [client.commit('v', 'a'), ALREADY_EXISTS],
      [client.commit('c', 'v'), FAILED_PRECONDITION],
      [client.remove('none'), NOT_FOUND],
      [client.mounts('none'), NOT_FOUND],
      [client.usage('none'), NOT_FOUND],
      [client.update({ name: 'none' }), NOT_FOUND],
      [client.update({ name: 'a' }, ['parent']), INVALID_ARGUMENT],
      [client.list('name=='), INVALID_ARGUMENT],
    ];
    for (const [call, code] of wrong) await assert.rejects(call, { code });
    await client.commit('layer', 'a');
    await client.prepare('b', 'layer');
    await assert.rejects(client.mounts('layer'), { code: FAILED_PRECONDITION });
    await assert.rejects(client.remove('layer'), { code: FAILED_PRECONDITION, details: /remove/ });
    await client.remove('b');
    await client.remove('layer');
    assert.equal(made().length, 1);
  });

  it('answers a call again that the daemon before it carried out, and no other call', async () => {
    const prepare = { key: 'a', parent: '', labels: {} };
    const commit = { key: 'a', name: 'layer', labels: {} };
    await client.outlived('1', 1, 'Prepare', prepare);
    await client.outlived('1', 2, 'Prepare', prepare);
    await assert.rejects(client.outlived('2', 2, 'Prepare', prepare), { code: ALREADY_EXISTS });
    await assert.rejects(client.outlived('1', 1, 'Prepare', prepare), { code: ALREADY_EXISTS });
    await client.outlived('3', 1, 'Commit', commit);
    await client.outlived('3', 2, 'Commit', commit);
    await assert.rejects(client.outlived('4', 2, 'Commit', commit), { code: NOT_FOUND });
    await client.outlived('5', 1, 'Remove', { key: 'layer' });
    await client.outlived('5', 2, 'Remove', { key: 'layer' });
    await assert.rejects(client.outlived('6', 1, 'Remove', { key: 'layer' }), { code: NOT_FOUND });
    // The one before it got no further than this call asked for, or not even there.
    await client.outlived('7', 2, 'Prepare', prepare);
    await client.outlived('8', 2, 'Commit', commit);
    await client.outlived('9', 2, 'Remove', { key: 'layer' });
    assert.deepEqual(made(), []);
  });

  it('leaves nothing of a snapshot that could not be mounted', async () => {
    fake.host.failure = new Error('no');
    await assert.rejects(client.prepare('a'), { code: STATUS.INTERNAL });
    assert.deepEqual(made(), []);
    await client.prepare('a');
  });

  it('keeps labels and times, and changes what a mask names', async () => {
    await client.prepare('a', '', { one: '1', none: '' });
    const before = await client.stat('a');
    assert.deepEqual(before.labels, { one: '1' });
    assert.deepEqual(before.createdAt, before.updatedAt);
    const after = await client.update({ name: 'a', parent: 'junk', labels: { two: '2', three: '3' } }, [
      'labels.two',
    ]);
    assert.deepEqual([after.labels, after.parent], [{ one: '1', two: '2' }, '']);
    assert.deepEqual(after.createdAt, before.createdAt);
    assert.notDeepEqual(after.updatedAt, before.updatedAt);
    await client.commit('layer', 'a', { l: 'c' });
    const committed = await client.stat('layer');
    assert.deepEqual([committed.labels, committed.createdAt], [{ l: 'c' }, committed.updatedAt]);
  });

  it('lists by filters, more than one message full', async () => {
    await client.prepare('a');
    await client.commit('layer', 'a');
    await Promise.all(Array.from({ length: 130 }, (_, n) => client.prepare(`k${n}`, 'layer')));
    assert.equal((await client.list()).length, 131);
    assert.equal((await client.list('parent==layer')).length, 130);
    assert.deepEqual(
      (await client.list('kind==committed')).map(({ name }) => name),
      ['layer'],
    );
  });

  it('tells what a snapshot holds alone, and keeps it when that is committed', async () => {
    await client.prepare('a');
    await fake.pool.set(deviceOf('a').name, { exclusive: 3 * 65536 });
    fake.host.usedInodes = 10;
    assert.deepEqual(await client.usage('a'), { size: String(3 * 65536), inodes: '10' });
    await client.commit('layer', 'a');
    await client.prepare('b', 'layer');
    await fake.pool.set(deviceOf('layer').name, { exclusive: 0 });
    fake.host.usedInodes = 14;
    assert.deepEqual(await client.usage('layer'), { size: String(3 * 65536), inodes: '10' });
    assert.deepEqual(await client.usage('b'), { size: '0', inodes: '4' });
  });

  it('commits what is in use as a snapshot of a frozen filesystem, and lets its device go with its last user', async () => {
    await client.prepare('a');
    const device = deviceOf('a').name;
    const target = targetOf('a');
    fake.host.busy.add(target);
    fake.host.log.length = 0;
    await client.commit('layer', 'a');
    assert.deepEqual(fake.host.log, ['freeze', 'thaw']);
    assert.notEqual(deviceOf('layer').name, device);
    assert.equal(deviceOf('layer').originName, device);
    assert.equal(fake.pool.device(device)?.label, RETIRED_LABEL);
    await assert.rejects(client.stat('a'), { code: NOT_FOUND });
    await client.cleanup();
    assert.equal(made().length, 2);
    await client.prepare('a', 'layer');
    assert.notEqual(deviceOf('a').name, device);
    fake.host.busy.delete(target);
    await client.cleanup();
    assert.equal(fake.pool.device(device), undefined);
    assert.equal(made().length, 2);
  });

  it('removes what is in use for containerd at once, and its device with its last user', async () => {
    await client.prepare('a');
    const target = targetOf('a');
    fake.host.busy.add(target);
    await client.remove('a');
    await assert.rejects(client.stat('a'), { code: NOT_FOUND });
    assert.deepEqual(
      made().map(({ label }) => label),
      [RETIRED_LABEL],
    );
    fake.host.busy.delete(target);
    await client.cleanup();
    assert.deepEqual(made(), []);
  });

  it('loses nothing in a restart, and mounts again when asked', async () => {
    await client.prepare('a', '', { l: '1' });
    await client.commit('layer', 'a');
    await client.prepare('b', 'layer');
    const before = await client.list();
    const { pool } = fake;
    await stop();
    await start(pool);
    assert.deepEqual(await client.list(), before);
    assert.deepEqual(fake.host.log, []);
    const [mount] = await client.mounts('b');
    assert.equal(mount?.source, targetOf('b'));
    assert.deepEqual(fake.host.log, [`mount ${deviceOf('b').name.slice(11)}`]);
  });

  it('brings a mount back that somebody undid', async () => {
    await client.prepare('a');
    await client.mounts('a');
    assert(fake.host.log.includes(`restore ${deviceOf('a').name}`));
  });

  it('follows devices that somebody renamed or removed', async () => {
    await client.prepare('a');
    await client.commit('layer', 'a');
    await fake.pool.rename(deviceOf('layer').name, 'other' as DeviceName);
    assert.equal((await client.stat('layer')).kind, 'COMMITTED');
    await client.prepare('b', 'layer');
    assert.equal(deviceOf('b').originName, 'other');
    const control = new SocketClient(fake.socket);
    await assert.rejects(control.call('device.remove', { name: 'other' }), { code: 'busy' });
    await assert.rejects(control.call('device.seal', { name: deviceOf('b').name }), { code: 'busy' });
    await control.call('device.remove', { name: 'other', force: true });
    await assert.rejects(client.stat('layer'), { code: NOT_FOUND });
    assert.deepEqual(
      (await client.list()).map(({ name }) => name),
      ['b'],
    );
  });

  it('gives loop devices where it is told to, and refuses to commit one in use', async () => {
    const { pool } = fake;
    await stop();
    await start(pool, 'loop');
    const [mount] = await client.prepare('a');
    assert.deepEqual([mount?.type, mount?.options], ['xfs', ['rw', 'nouuid']]);
    assert.deepEqual(await client.mounts('a'), [mount]);
    fake.host.busy.add(mount?.source ?? '');
    await assert.rejects(client.commit('layer', 'a'), { code: FAILED_PRECONDITION });
    await assert.rejects(client.mounts('a'), { code: FAILED_PRECONDITION });
    fake.host.busy.clear();
    await client.commit('layer', 'a');
    const [view] = await client.view('v', 'layer');
    assert.deepEqual(view?.options, ['ro', 'nouuid', 'norecovery']);
    const [bound] = await client.prepare('b', 'layer', { 'containerd.io/snapshot/thinfuse.mounts': 'bind' });
    assert.equal(bound?.type, 'bind');
  });

  it('does not say that a snapshot is not there while the pool lacks what its log has', async () => {
    await client.prepare('a');
    fake.pool.lacks = 'its log could not be taken over';
    assert.equal((await client.stat('a')).name, 'a');
    const unsure = { code: UNAVAILABLE, details: /its log could not be taken over/ };
    await assert.rejects(client.stat('b'), unsure);
    await assert.rejects(client.mounts('b'), unsure);
    await assert.rejects(client.usage('b'), unsure);
    await assert.rejects(client.remove('b'), unsure);
    await assert.rejects(client.commit('layer', 'b'), unsure);
    await assert.rejects(client.prepare('c', 'b'), unsure);
    await assert.rejects(client.list(), unsure);
    fake.pool.lacks = undefined;
    await assert.rejects(client.stat('b'), { code: NOT_FOUND });
  });

  for (const mode of ['bind', 'loop'] as const)
    it(`says of a view what it lacks, as long as it does (${mode})`, async () => {
      const { pool } = fake;
      await stop();
      await start(pool, mode);
      await client.prepare('a');
      await client.commit('layer', 'a');
      fake.host.isUnreplayable = true;
      const [mount] = await client.view('v', 'layer');
      const lacks = async (): Promise<string | undefined> =>
        (await client.stat('v')).labels['thinfuse.lacks'];
      assert.match((await lacks()) ?? '', /shown without what its filesystem's log holds/);
      assert.deepEqual(
        (await client.list('labels."thinfuse.lacks"')).map(({ name }) => name),
        ['v'],
      );

      fake.host.isUnreplayable = false;
      fake.host.busy.add(mount?.source ?? '');
      assert.deepEqual(await client.mounts('v'), [mount]);
      assert.notEqual(await lacks(), undefined, 'somebody reads it');
      fake.host.busy.clear();
      if (mode === 'loop') return;
      await client.mounts('v');
      assert.equal(await lacks(), undefined);
    });

  it('goes on with the loop device that is on an image already, and attaches no second one', async () => {
    const { pool } = fake;
    await stop();
    await start(pool, 'loop');
    await client.prepare('a');
    const image = [...fake.host.attached.keys()][0] ?? '';
    await stop();
    await start(pool, 'loop');
    // As a daemon that died left it.
    fake.host.attached.set(image, '/dev/loop77');
    assert.equal((await client.mounts('a'))[0]?.source, '/dev/loop77');
    assert.ok(!fake.host.log.some((line) => line.startsWith('attach')), fake.host.log.join());
    await client.commit('layer', 'a');
    assert.ok(fake.host.log.includes('detach'));
  });

  it('takes no more calls while the daemon stops, and takes them again where it does not', async () => {
    await client.prepare('a');
    const target = targetOf('a');
    const control = new SocketClient(fake.socket);
    fake.host.busy.add(target);
    await assert.rejects(control.call('stop', {}), { code: 'busy' });
    assert.equal((await client.mounts('a'))[0]?.source, target);
    fake.host.busy.clear();
  });

  it('makes many at once from one parent', async () => {
    await client.prepare('a');
    await client.commit('layer', 'a');
    await Promise.all(Array.from({ length: 20 }, (_, n) => client.prepare(`c${n}`, 'layer')));
    assert.equal(made().length, 21);
    const twice = await Promise.allSettled([
      client.prepare('same', 'layer'),
      client.prepare('same', 'layer'),
    ]);
    assert.deepEqual(twice.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  });
});
