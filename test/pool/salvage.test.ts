import assert from 'node:assert/strict';
import fc from 'fast-check';
import { mergePoolOptions } from '../../src/config/storage-options.js';
import { unpackDeviceRecord } from '../../src/format/device-record.js';
import { deviceId, type DeviceName } from '../../src/format/ids.js';
import { deviceKey, optionsKey, superblockKey } from '../../src/format/keys.js';
import { seal, unseal } from '../../src/format/seal.js';
import { putDevice, putSuperblock } from '../../src/metadata/auto-repair.js';
import { newSuperblock } from '../../src/metadata/open-metadata.js';
import { packOptions } from '../../src/pool/options-record.js';
import { salvageRecords } from '../../src/pool/salvage.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { anyDevice } from '../support/arbitrary-records.js';
import { MemoryStore } from '../support/memory-store.js';

const SUPERBLOCK = newSuperblock({ kind: 'leveldb', blockSize: 65536, chunks: 100, nodes: 100 });
const OPTIONS = mergePoolOptions({});
const DEVICES = fc.sample(anyDevice, 3).map((device, index) => ({
  ...device,
  id: deviceId(index + 1),
  name: `device-${index}` as DeviceName,
}));
const SOUND: readonly KvOperation[] = [
  putSuperblock(SUPERBLOCK),
  packOptions(OPTIONS, SUPERBLOCK.uuid),
  ...DEVICES.map(putDevice),
];

async function storeOf(...operations: readonly KvOperation[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.batch(operations, { sync: true });
  return store;
}

describe('the records that can be read of a damaged pool', () => {
  it('are all where nothing is damaged', async () => {
    const found = await salvageRecords(await storeOf(...SOUND));
    assert.deepEqual(found.superblock?.uuid, SUPERBLOCK.uuid);
    assert.deepEqual(found.options, OPTIONS);
    assert.deepEqual(
      found.devices.map(({ id }) => id),
      DEVICES.map(({ id }) => id),
    );
    assert.deepEqual(found.lost, []);
  });

  it('are those beside a damaged one, which is named', async () => {
    const bytes = Buffer.from('nothing');
    for (const [key, path] of [
      [superblockKey, /superblock/],
      [optionsKey, /options/],
      [deviceKey(deviceId(2)), /device/],
    ] as const) {
      const found = await salvageRecords(await storeOf(...SOUND, { type: 'put', key, value: bytes }));
      assert.equal(found.lost.length, 1);
      assert.match(found.lost[0]!.path, path);
      assert.equal(found.superblock === undefined, key === superblockKey);
      assert.equal(found.options === undefined, key === optionsKey);
      assert.equal(found.devices.length, path.source === 'device' ? 2 : 3);
    }
  });

  it('lack a superblock where there is none', async () => {
    const { superblock, lost } = await salvageRecords(await storeOf(...SOUND.slice(1)));
    assert.equal(superblock, undefined);
    assert.deepEqual(
      lost.map(({ path }) => path),
      ['superblock'],
    );
  });

  it('are not read where a newer thinfuse wrote one', async () => {
    const { id } = DEVICES[0]!;
    const newer = seal('device', id, new Uint8Array(4), 200);
    const store = await storeOf(...SOUND, { type: 'put', key: deviceKey(id), value: newer });
    await assert.rejects(salvageRecords(store), { code: 'wrong-version' });
  });

  it('of a device are as they were put', async () => {
    const store = await storeOf(...SOUND);
    for (const device of DEVICES) {
      const body = unseal('device', device.id, store.getSync(deviceKey(device.id))!, 'device');
      assert.deepEqual(unpackDeviceRecord(device.id, body, 'device'), device);
    }
  });
});
