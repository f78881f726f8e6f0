import assert from 'node:assert/strict';
import path from 'node:path';
import { STATUS } from '../../src/containerd/status.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const { ALREADY_EXISTS } = STATUS;
const REF = 'containerd.io/snapshot.ref';
const [FIRST, SECOND] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];

describe('snapshotter: layers that the pool has', () => {
  const scratch = useScratch();
  let fake: FakeDaemon;
  let one: SnapshotClient;
  let two: SnapshotClient;
  let count = 0;

  beforeEach(async () => {
    const root = scratch.current.at(`root${count++}`);
    const at = (name: string): string => path.join(root, `${name}.sock`);
    fake = await startFakeDaemon(root, {
      pool: new FakePool(),
      snapshotters: ['one', 'two'].map((name) => ({ name, socket: at(name), mounts: 'bind' })),
    });
    [one, two] = [new SnapshotClient(at('one'), 'one'), new SnapshotClient(at('two'), 'two')];
  });
  afterEach(async () => {
    for (const client of [one, two]) client.close();
    await fake.daemon.stop('the test is over');
  });

  /** As containerd's unpacker does it; false: it has not been unpacked, because it was there. */
  async function unpack(client: SnapshotClient, name: string, parent: string, ref: string): Promise<boolean> {
    try {
      await client.prepare(`${name}-extract`, parent, { [REF]: ref });
    } catch (error) {
      assert.equal((error as { code?: number }).code, ALREADY_EXISTS);
      return false;
    }
    await client.commit(name, `${name}-extract`, { [REF]: ref });
    return true;
  }
  /** What containerd's metadata then looks for. */
  async function backendOf(client: SnapshotClient, ref: string, parent: string): Promise<string> {
    const found = await client.list(`labels."${REF}"==${ref},parent==${JSON.stringify(parent)}`);
    return found.find(({ kind }) => kind === 'COMMITTED')?.name ?? assert.fail(`no layer ${ref}`);
  }

  it('are found by another namespace, and by another name', async () => {
    assert(await unpack(one, `default/1/${FIRST}`, '', FIRST));
    assert(await unpack(one, `default/2/${SECOND}`, `default/1/${FIRST}`, SECOND));
    const devices = fake.pool.devices().length;
    // The same name, where no second device is needed.
    assert.equal(await unpack(one, `other/3/${FIRST}`, '', FIRST), false);
    assert.equal(await backendOf(one, FIRST, ''), `default/1/${FIRST}`);
    assert.equal(await unpack(one, `other/4/${SECOND}`, `default/1/${FIRST}`, SECOND), false);
    assert.equal(fake.pool.devices().length, devices);

    assert.equal(await unpack(two, `default/1/${FIRST}`, '', FIRST), false);
    const first = await backendOf(two, FIRST, '');
    assert.equal(await unpack(two, `default/2/${SECOND}`, first, SECOND), false);
    const second = await backendOf(two, SECOND, first);
    assert.equal((await two.prepare('container', second)).length, 1);
    // Neither name has the other's.
    await one.remove(`default/2/${SECOND}`);
    assert.equal((await two.stat(second)).kind, 'COMMITTED');
  });

  it('are not taken for one on top of something else, nor for one of another filesystem', async () => {
    assert(await unpack(one, `default/1/${FIRST}`, '', FIRST));
    assert(await unpack(one, `default/2/${SECOND}`, `default/1/${FIRST}`, SECOND));
    assert(await unpack(two, `default/1/${SECOND}`, '', SECOND), 'there it has nothing below it');
    const other = `default/2/sha256:${'c'.repeat(64)}`;
    await two.prepare('x');
    await two.commit(other, 'x');
    assert(await unpack(two, `default/3/${SECOND}`, other, SECOND), 'there it has something else below it');
    for (const { name, label } of fake.pool.devices())
      if (label.includes(`default/1/${FIRST}`)) await fake.pool.set(name, { filesystem: 'ext4' });
    assert(await unpack(two, `default/4/${FIRST}`, '', FIRST));
  });
});
