import assert from 'node:assert/strict';
import path from 'node:path';
import { RETIRED_LABEL } from '../../src/containerd/snapshot-record.js';
import { STATUS } from '../../src/containerd/status.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const { NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION } = STATUS;

describe('snapshotter: names', () => {
  const scratch = useScratch();
  let count = 0;
  let fake: FakeDaemon;
  let clients: SnapshotClient[];
  let one: SnapshotClient;
  let two: SnapshotClient;

  async function start(pool: FakePool): Promise<void> {
    const root = scratch.current.at(`root${count++}`);
    const socket = path.join(root, 'snapshotter.sock');
    fake = await startFakeDaemon(root, { pool, snapshotter: { socket, mounts: 'bind' } });
    clients = ['one', 'two', ''].map((name) => new SnapshotClient(socket, name));
    [one, two] = clients as [SnapshotClient, SnapshotClient];
  }
  async function stop(): Promise<void> {
    for (const client of clients) client.close();
    await fake.daemon.stop('the test is over');
  }
  /** Another daemon on the same pool. */
  async function restart(): Promise<void> {
    const { pool } = fake;
    await stop();
    await start(pool);
  }
  const made = (): DeviceInfo[] => fake.pool.devices().filter(({ kind }) => kind !== 'base');
  const keys = async (client: SnapshotClient): Promise<string[]> =>
    (await client.list()).map(({ name }) => name);
  /** As a version wrote it that kept no names. */
  async function forgetNames(which: (label: string) => boolean = () => true): Promise<void> {
    for (const { name, label } of made())
      if (which(label)) await fake.pool.set(name, { label: label.replace(/"snapshotter":"[^"]*",/, '') });
  }

  beforeEach(async () => start(new FakePool()));
  afterEach(stop);

  it('keep what is under each apart, also under the same key', async () => {
    for (const client of clients) {
      const [mount] = await client.prepare('key');
      await client.commit('layer', 'key');
      await client.prepare('key', 'layer', { of: mount?.source ?? '' });
    }
    assert.equal(new Set(made().map(({ name }) => name)).size, 6);
    const seen = await Promise.all(clients.map(async (client) => (await client.stat('key')).labels['of']));
    assert.equal(new Set(seen).size, 3);
    for (const client of clients) assert.deepEqual(await keys(client), ['key', 'layer']);

    await one.update({ name: 'layer', labels: { mine: 'yes' } });
    assert.deepEqual((await two.stat('layer')).labels, {});
    assert.deepEqual(await two.list('labels.mine'), []);
    await assert.rejects(one.remove('layer'), { code: FAILED_PRECONDITION });
    await one.remove('key');
    await one.remove('layer');
    assert.deepEqual(await keys(one), []);
    for (const client of clients.slice(1)) assert.deepEqual(await keys(client), ['key', 'layer']);
    await restart();
    assert.deepEqual(await keys(one), []);
    for (const client of clients.slice(1)) assert.deepEqual(await keys(client), ['key', 'layer']);
  });

  it('know nothing of what is under another', async () => {
    await one.prepare('a');
    await one.commit('layer', 'a');
    await one.prepare('live', 'layer');
    for (const client of clients.slice(1)) {
      await assert.rejects(client.stat('layer'), { code: NOT_FOUND });
      await assert.rejects(client.usage('layer'), { code: NOT_FOUND });
      await assert.rejects(client.mounts('live'), { code: NOT_FOUND });
      await assert.rejects(client.remove('live'), { code: NOT_FOUND });
      await assert.rejects(client.commit('new', 'live'), { code: NOT_FOUND });
      await assert.rejects(client.update({ name: 'live', labels: { a: 'b' } }), { code: NOT_FOUND });
      await assert.rejects(client.prepare('child', 'layer'), { code: NOT_FOUND });
      await assert.rejects(client.view('view', 'layer'), { code: NOT_FOUND });
      assert.deepEqual(await keys(client), []);
    }
    // What containerd's collector does with what it does not know.
    for (const { name } of await two.list()) await two.remove(name);
    await two.cleanup();
    await assert.rejects(one.prepare('live', 'layer'), { code: ALREADY_EXISTS });
    assert.deepEqual(await keys(one), ['layer', 'live']);
  });

  it('get what was recorded before there were names by asking first, for good', async () => {
    await one.prepare('a');
    await one.commit('layer', 'a');
    await one.prepare('b', 'layer');
    await forgetNames();
    await restart();
    // No name asks for nothing.
    assert.deepEqual(await keys(clients[2]!), []);
    assert.deepEqual(await keys(two), ['b', 'layer']);
    assert.deepEqual(await keys(one), []);
    await restart();
    assert.deepEqual(await keys(one), []);
    assert.deepEqual(await keys(two), ['b', 'layer']);
    await two.remove('b');
    await two.remove('layer');
    assert.deepEqual(made(), []);
  });

  it('of two that ask at once, one gets all of what was recorded before', async () => {
    for (let number = 0; number < 20; number++) await one.prepare(`key${number}`);
    await forgetNames();
    await restart();
    const [ofOne = [], ofTwo = []] = await Promise.all([one, two].map(keys));
    assert.deepEqual([ofOne.length, ofTwo.length].sort(), [0, 20]);
    assert.equal((await one.list()).length, ofOne.length);
    assert.equal((await two.list()).length, ofTwo.length);
  });

  it('get the rest where a daemon was cut off while it gave, whoever asks then', async () => {
    for (const key of ['a', 'b', 'c']) await one.prepare(key);
    await forgetNames((label) => !label.includes('"key":"b"'));
    await restart();
    assert.deepEqual(await keys(two), []);
    assert.deepEqual(await keys(one), ['a', 'b', 'c']);
  });

  it('share the devices that wait for their last user', async () => {
    const [mount] = await one.prepare('a');
    fake.host.busy.add(mount?.source ?? '');
    await one.remove('a');
    assert.deepEqual(
      made().map(({ label }) => label),
      [RETIRED_LABEL],
    );
    await one.prepare('a');
    fake.host.busy.clear();
    await two.cleanup();
    assert.equal(made().length, 1);
    assert.deepEqual(await keys(one), ['a']);
  });
});
