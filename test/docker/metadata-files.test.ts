import assert from 'node:assert/strict';
import { deviceId } from '../../src/format/ids.js';
import { metadataFiles, type ProjectionSource } from '../../src/docker/metadata-files.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { device, GIB, poolInfo, transaction } from '../support/pool-values.js';

const base = device(1, 'base');
const image = device(2, 'debian', { origin: base });

function source(devices: readonly DeviceInfo[], last?: ReturnType<typeof transaction>): ProjectionSource {
  const info = poolInfo({ lastDeviceId: deviceId(devices.length) });
  return {
    info: () => info,
    async *eachDevice() {
      yield* await Promise.resolve(devices);
    },
    device: (name) => devices.find((each) => each.name === name),
    lastTransaction: () => last,
    watch: () => ({ take: () => new Set(), stop: () => undefined }),
  };
}

describe('docker: metadata files', () => {
  it('are what Docker’s driver wrote, byte for byte', async () => {
    assert.deepEqual(
      [...(await metadataFiles(source([base, image], transaction(2, 'debian', 2))))],
      [
        ['base', '{"device_id":1,"size":10737418240,"transaction_id":1,"initialized":true,"deleted":false}'],
        [
          'debian',
          '{"device_id":2,"size":10737418240,"transaction_id":2,"initialized":false,"deleted":false}',
        ],
        [
          'deviceset-metadata',
          '{"next_device_id":2,"BaseDeviceUUID":"8c0a4a6b-1f67-4d3c-9d62-3f1f3d1d9b0e","BaseDeviceFilesystem":"xfs"}',
        ],
        ['transaction-metadata', '{"open_transaction_id":2,"device_hash":"debian","device_id":2}'],
      ],
    );
  });

  it('give the base device no hash, as Docker had none for it', async () => {
    assert.equal(
      (await metadataFiles(source([base], transaction(1, 'base', 1)))).get('transaction-metadata'),
      '{"open_transaction_id":1,"device_hash":"","device_id":1}',
    );
  });

  it('have no transaction before there was one', async () => {
    assert.deepEqual([...(await metadataFiles(source([base]))).keys()], ['base', 'deviceset-metadata']);
  });

  it('mark a device whose removal waits', async () => {
    const waiting = device(9, 'web', { size: 20 * GIB, deleted: true });
    assert.equal(
      (await metadataFiles(source([waiting]))).get('web'),
      '{"device_id":9,"size":21474836480,"transaction_id":9,"initialized":false,"deleted":true}',
    );
  });
});
