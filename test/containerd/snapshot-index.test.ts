import assert from 'node:assert/strict';
import { SnapshotIndex } from '../../src/containerd/snapshot-index.js';
import { packSnapshotRecord } from '../../src/containerd/snapshot-record.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { makeSmallPool } from '../support/small-pool.js';

const NAMES = 'thinfuse';

function labelOf(key: string, parent: string): string {
  return packSnapshotRecord({
    snapshotter: NAMES,
    key,
    parent,
    kind: 'active',
    createdAt: 1n,
    updatedAt: 1n,
    labels: {},
    bytes: 0,
    inodes: 0,
  });
}

describe('the index of snapshots', () => {
  let pool: ThinPool;
  let looks: number;
  let index: SnapshotIndex;

  beforeEach(async () => {
    pool = await makeSmallPool(new MemoryStore());
    looks = 0;
    index = new SnapshotIndex({
      devices: () => {
        looks++;
        return pool.devices();
      },
      device: (name) => pool.device(name),
      watch: () => pool.watch(),
    });
  });

  afterEach(() => pool.close());

  async function make(name: string, key: string, parent = ''): Promise<void> {
    const label = labelOf(key, parent);
    await pool.createSnapshot({ name: name as DeviceName, origin: BASE_NAME, kind: 'snapshot', label });
  }

  it('follows what others do with the devices, and looks at those alone', async () => {
    await make('one', 'a');
    await make('two', 'b', 'a');
    assert.equal(index.find(NAMES, 'a')?.device.name, 'one');
    assert.ok(index.hasChildren(NAMES, 'a'));
    await pool.rename('one' as DeviceName, 'other' as DeviceName);
    assert.equal(index.find(NAMES, 'a')?.device.name, 'other');
    await pool.update('two' as DeviceName, { label: labelOf('c', '') });
    assert.ok(!index.hasChildren(NAMES, 'a'));
    assert.deepEqual(
      index.records(NAMES).map(({ key }) => key),
      ['a', 'c'],
    );
    await pool.remove('other' as DeviceName);
    assert.equal(index.find(NAMES, 'a'), undefined);
    await pool.remove('two' as DeviceName);
    assert.deepEqual(index.names(), []);
    assert.equal(looks, 1);
  });
});
