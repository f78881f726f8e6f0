import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isHidden } from '../../src/format/device-name.js';
import type { DeviceRecord } from '../../src/format/device-record.js';
import { deviceId, nodeId, type DeviceId, type DeviceName } from '../../src/format/ids.js';
import { deviceKey, pendingDeleteKey } from '../../src/format/keys.js';
import { DeviceTable } from '../../src/metadata/device-table.js';
import { anyDevice } from '../support/arbitrary-records.js';
import { MemoryStore } from '../support/memory-store.js';

const IDS = 12;

const step = fc.record({
  do: fc.constantFrom('add', 'add', 'rename', 'mark', 'remove', 'walk', 'commit', 'fail'),
  which: fc.nat(1000),
  record: anyDevice,
});

describe('the device table against a plain map', () => {
  it('finds, orders and counts what is there, and stores it with the commit that holds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const table = new DeviceTable();
        const records = new Map<DeviceId, DeviceRecord>();
        const pending = new Set<DeviceId>();
        const store = new MemoryStore();
        const watch = table.watch();
        let touched = new Set<DeviceName>();
        let number = 0;
        const known = (which: number): DeviceRecord | undefined =>
          [...records.values()][which % records.size];
        const set = (record: DeviceRecord): void => {
          records.set(record.id, record);
          touched.add(record.name);
        };
        for (const { do: what, which, record } of steps) {
          const found = known(which);
          if (what === 'add') {
            const id = table.unusedId(deviceId((which % IDS) + 1));
            if (id === undefined || id > IDS) continue;
            const name = `${which % 5 === 0 ? '.' : ''}name-${++number}` as DeviceName;
            const added = { ...record, id, name, family: deviceId((which % 3) + 1) };
            table.add(added);
            set(added);
          } else if (what === 'rename' && found !== undefined) {
            touched.add(found.name);
            set(table.change(found.id, { name: `name-${++number}` as DeviceName }));
          } else if (what === 'mark' && found !== undefined) set(table.change(found.id, { deleted: true }));
          else if (what === 'remove' && found !== undefined) {
            table.remove(found.id);
            records.delete(found.id);
            pending.add(found.id);
            touched.add(found.name);
          } else if (what === 'walk' && table.firstPending() !== undefined) {
            const { id } = table.firstPending()!;
            table.progress(id, which % 2 === 0 ? [] : [nodeId(which)]);
            if (which % 2 === 0) pending.delete(id);
          } else if (what === 'commit') await store.batch(table.collect().operations, { sync: true });
          else if (what === 'fail') table.collect().undo();
          assert.deepEqual([...watch.take()].sort(), [...touched].sort());
          touched = new Set();
          compare(table, records, pending);
        }
        await store.batch(table.collect().operations, { sync: true });
        assert.equal(table.isDirty, false);
        const keys = [...[...records.keys()].map(deviceKey), ...[...pending].map(pendingDeleteKey)];
        assert.deepEqual(
          store.dump().map(([key]) => Buffer.from(key).toString('hex')),
          keys.map((key) => Buffer.from(key).toString('hex')).sort(),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('gives out every number once before it begins again', () => {
    const table = new DeviceTable();
    const [sample] = fc.sample(anyDevice, 1);
    for (let id = 1; id <= 5; id++)
      table.load({ ...sample!, id: deviceId(id), name: `n${id}` as DeviceName });
    assert.equal(table.unusedId(deviceId(2)), 6);
    table.remove(deviceId(3));
    assert.equal(table.unusedId(deviceId(2)), 6, 'a number whose trees are still walked is in use');
    table.progress(deviceId(3), []);
    assert.equal(table.unusedId(deviceId(2)), 3);
  });
});

function compare(
  table: DeviceTable,
  records: ReadonlyMap<DeviceId, DeviceRecord>,
  pending: ReadonlySet<DeviceId>,
): void {
  const all = [...records.values()].sort((x, y) => x.id - y.id);
  const visible = all.filter(({ name }) => !isHidden(name));
  assert.deepEqual(table.all(), all);
  assert.deepEqual(table.select({ hidden: false }), visible);
  assert.deepEqual(table.after(3, 2), all.filter(({ id }) => id > 3).slice(0, 2));
  assert.deepEqual(table.counts(), {
    all: all.length,
    visible: visible.length,
    deleted: visible.filter(({ deleted }) => deleted).length,
  });
  assert.equal(table.pendingCount, pending.size);
  for (const record of all) {
    assert.equal(table.find(record.name), table.get(record.id));
    const family = all.filter(({ family }) => family === record.family).map(({ id }) => id);
    assert.deepEqual(
      [...table.family(record.family)].sort((x, y) => x - y),
      family,
    );
  }
}
