import assert from 'node:assert/strict';
import path from 'node:path';
import { STATUS } from '../../src/containerd/status.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const { NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT } = STATUS;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SIZE = 'containerd.io/snapshot/thinfuse.size';

describe('snapshotter: defaults, sizes and owners', () => {
  const scratch = useScratch();
  let count = 0;
  let fake: FakeDaemon;
  let runc: SnapshotClient;
  let kata: SnapshotClient;

  beforeEach(async () => {
    const root = scratch.current.at(`root${count++}`);
    const at = (name: string): string => path.join(root, `${name}.sock`);
    fake = await startFakeDaemon(root, {
      pool: new FakePool(),
      snapshotters: [
        { name: 'runc', socket: at('runc'), mounts: 'bind', filesystem: 'ext4', size: 2 * GIB },
        { name: 'kata', socket: at('kata'), mounts: 'loop', filesystem: 'xfs', size: 20 * GIB },
      ],
    });
    // Both containerds call their plugin the same.
    [runc, kata] = [new SnapshotClient(at('runc')), new SnapshotClient(at('kata'))];
  });
  afterEach(async () => {
    for (const client of [runc, kata]) client.close();
    await fake.daemon.stop('the test is over');
  });
  const deviceOf = (key: string): DeviceInfo => {
    const found = fake.pool.devices().find(({ label }) => label.includes(`"key":"${key}"`));
    assert(found !== undefined, `no device of ${key}`);
    return found;
  };

  it('each socket has records, a base and mounts of its own', async () => {
    assert.equal((await runc.prepare('a'))[0]?.type, 'bind');
    assert.equal((await kata.prepare('b'))[0]?.type, 'xfs');
    const [a, b] = [deviceOf('a'), deviceOf('b')];
    assert.deepEqual([a.originName, a.size], [`containerd-base-ext4-${2 * GIB}`, 2 * GIB]);
    assert.deepEqual([b.originName, b.size], [`containerd-base-xfs-${20 * GIB}`, 20 * GIB]);
    assert.deepEqual(
      (await runc.list()).map(({ name }) => name),
      ['a'],
    );
    assert.deepEqual(
      (await kata.list()).map(({ name }) => name),
      ['b'],
    );
    await assert.rejects(runc.remove('b'), { code: NOT_FOUND });
    await kata.prepare('a');
    await kata.remove('a');
    assert.equal((await runc.stat('a')).name, 'a');
  });

  it('makes a base once, however many ask at once, and again where one was cut off', async () => {
    await Promise.all(['a', 'b', 'c'].map((key) => runc.prepare(key)));
    const base = deviceOf('a').originName;
    assert(base !== undefined);
    assert.equal(fake.host.log.filter((line) => line === 'format').length, 1);
    for (const key of ['a', 'b', 'c']) await runc.remove(key);
    await fake.pool.set(base, { label: 'containerd:base-being-made' });
    await runc.prepare('d');
    assert.equal(fake.host.log.filter((line) => line === 'format').length, 2);
  });

  it('a size above grows, one below is a limit, and both change live', async () => {
    await runc.prepare('extract');
    await runc.commit('layer', 'extract');
    await runc.prepare('small', 'layer', { [SIZE]: '30M' });
    await runc.prepare('large', 'layer', { 'containerd.io/snapshot/max-size': String(3 * GIB) });
    assert.deepEqual([deviceOf('small').size, deviceOf('small').limit], [2 * GIB, 30 * MIB]);
    assert.deepEqual([deviceOf('large').size, deviceOf('large').limit], [3 * GIB, undefined]);
    assert(fake.host.log.includes(`bound ${deviceOf('small').name} to ${30 * MIB}`));
    assert(fake.host.log.includes(`grow to ${3 * GIB}`));

    await runc.update({ name: 'small', labels: { [SIZE]: '40M' } }, [`labels.${SIZE}`]);
    assert(fake.host.log.includes(`bound ${deviceOf('small').name} to ${40 * MIB}`));
    await runc.update({ name: 'small', labels: { [SIZE]: '4G' } }, [`labels.${SIZE}`]);
    assert.equal(deviceOf('small').size, 4 * GIB);
    assert.equal(fake.host.log.at(-1), `bound ${deviceOf('small').name} to all`);
    await assert.rejects(runc.update({ name: 'small', labels: { [SIZE]: 'x' } }), { code: INVALID_ARGUMENT });
    // What others start from has no limit of its own.
    await runc.update({ name: 'small', labels: { [SIZE]: '40M' } });
    await runc.commit('from-small', 'small');
    assert.equal(deviceOf('from-small').limit ?? 0, 0);
  });

  it('refuses a size below that of a filesystem that somebody else mounts', async () => {
    await assert.rejects(kata.prepare('a', '', { [SIZE]: '1G' }), { code: FAILED_PRECONDITION });
    await kata.prepare('a', '', { [SIZE]: '30G' });
    assert.equal(deviceOf('a').size, 30 * GIB);
    await kata.update({ name: 'a', labels: { [SIZE]: '40G' } });
    assert.match(fake.host.log.at(-1) ?? '', new RegExp(`^grow /dev/loop\\d+ ${40 * GIB}$`));
  });

  it('maps owners in the mount, unless containerd has changed them in the files', async () => {
    const labels = {
      'containerd.io/snapshot/uidmapping': '0:100000:65536',
      'containerd.io/snapshot/gidmapping': '0:200000:65536',
    };
    await runc.prepare('default/1/extract');
    await runc.commit('default/2/sha256:aa', 'default/1/extract');
    const [mapped] = await runc.prepare('default/3/c', 'default/2/sha256:aa', labels);
    assert.deepEqual(mapped?.options, ['rbind', 'rw', 'uidmap=0:100000:65536', 'gidmap=0:200000:65536']);
    const [view] = await runc.view('default/7/v', 'default/2/sha256:aa', labels);
    assert.deepEqual(view?.options, ['rbind', 'uidmap=0:100000:65536', 'gidmap=0:200000:65536']);
    await runc.prepare('default/4/sha256:bb-remap', 'default/2/sha256:aa');
    await runc.commit('default/5/sha256:bb', 'default/4/sha256:bb-remap');
    const [changed] = await runc.prepare('default/6/d', 'default/5/sha256:bb', labels);
    assert.deepEqual(changed?.options, ['rbind', 'rw']);
  });
});
