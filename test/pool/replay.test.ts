import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import { packCreatedDevice } from '../../src/format/device-change.js';
import { packDeviceRecord } from '../../src/format/device-record.js';
import { chunkId, deviceId, type DeviceName } from '../../src/format/ids.js';
import { LogKind, type LogRecord } from '../../src/format/log-record.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { bringBytes, redoChange } from '../../src/pool/replay.js';
import type { Access } from '../../src/store/chunk-access.js';
import { MemoryStore } from '../support/memory-store.js';
import { closeState, makePoolState } from '../support/small-pool.js';

const web = 'web' as DeviceName;

function recordOf(
  kind: LogKind,
  device: number,
  payload: Uint8Array = new Uint8Array(0),
  origin = 0,
): LogRecord {
  return {
    kind,
    device,
    origin,
    payload,
    block: 0,
    chunk: 0,
    run: 0,
    pages: 0,
    within: 0,
    position: 0,
    synced: 0,
  } as unknown as LogRecord;
}

describe('a change of a device that is done again', () => {
  let state: PoolState;

  beforeEach(async () => {
    state = await makePoolState(new MemoryStore());
  });

  afterEach(async () => {
    await state.reclaimer.settle();
    await closeState(state);
  });

  it('leaves the device as it was when it was made, changed and removed', async () => {
    const labels = { team: 'red' };
    const [made] = await new PoolSnapshots(state).take(BASE_NAME, [
      { name: web, kind: 'container', quota: 2 ** 30, label: 'mine', labels, originLabel: 'told' },
    ]);
    const changed = { ...made!, name: 'shop' as DeviceName, size: made!.size * 2 };
    const other = await makePoolState(new MemoryStore());
    const created = packCreatedDevice({ record: made!, originLabel: 'told' });
    redoChange(other.metadata, recordOf(LogKind.CREATE, made!.id, created, made!.origin));
    assert.deepEqual({ ...other.metadata.devices.get(made!.id), root: 0 }, { ...made!, root: 0 });
    assert.equal(other.metadata.devices.find(BASE_NAME)!.label, 'told');
    redoChange(other.metadata, recordOf(LogKind.CHANGE, made!.id, packDeviceRecord(changed)));
    assert.equal(other.metadata.devices.get(made!.id).name, 'shop');
    assert.equal(other.metadata.devices.get(made!.id).size, changed.size);
    redoChange(other.metadata, recordOf(LogKind.REMOVE, made!.id));
    assert.ok(!other.metadata.devices.has(made!.id));
    await other.reclaimer.settle();
    await closeState(other);
  });

  it('is damage where the pool is another than the log says', async () => {
    const [made] = await new PoolSnapshots(state).take(BASE_NAME, [{ name: web, kind: 'snapshot' }]);
    const created = packCreatedDevice({ record: made!, originLabel: '' });
    for (const wrong of [
      recordOf(LogKind.REMOVE, 9),
      recordOf(LogKind.CHANGE, 9, packDeviceRecord(made!)),
      recordOf(LogKind.CREATE, made!.id + 1, created, 9),
      // Not the next number.
      recordOf(LogKind.CREATE, made!.id + 5, created, made!.origin),
      recordOf(LogKind.CHANGE, made!.id, packDeviceRecord(made!).subarray(1)),
    ])
      assert.throws(() => redoChange(state.metadata, wrong), { code: 'damaged' });
    assert.ok(state.metadata.devices.has(deviceId(made!.id)));
  });

  it('brings what a step lacks until it is done', async () => {
    const lacks: Access[] = ['missing', 'no-room', 'missing', 'done'];
    const did: string[] = [];
    const chunks = {
      bring: (chunk: number) => (did.push(`bring ${chunk}`), undefined),
      makeRoom: () => (did.push('room'), Promise.resolve()),
    };
    const plane = { chunks } as unknown as PoolState['plane'];
    await bringBytes(plane, chunkId(5), () => lacks.shift()!);
    assert.deepEqual(did, ['bring 5', 'room', 'bring 5']);
    assert.deepEqual(lacks, []);
  });
});
