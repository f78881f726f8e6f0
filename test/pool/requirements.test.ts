import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeviceRecord } from '../../src/format/device-record.js';
import { deviceId, type DeviceName } from '../../src/format/ids.js';
import { DeviceTable } from '../../src/metadata/device-table.js';
import { requireFree, requireOrdinary, requireRecord } from '../../src/pool/requirements.js';
import { anyDevice } from '../support/arbitrary-records.js';

const [SAMPLE] = fc.sample(anyDevice, 1);
const web: DeviceRecord = { ...SAMPLE!, id: deviceId(2), name: 'web' as DeviceName, kind: 'snapshot' };

describe('what a request asks of the device table', () => {
  const devices = new DeviceTable();
  devices.add(web);

  it('finds a device by its name, and says how to see the names that there are', () => {
    assert.equal(requireRecord(devices, web.name), web);
    assert.throws(() => requireRecord(devices, 'db' as DeviceName), {
      code: 'not-found',
      message: /thinfuse ls/,
    });
  });

  it('takes a name that no device has', () => {
    requireFree(devices, 'db' as DeviceName);
    assert.throws(() => requireFree(devices, web.name), { code: 'exists' });
  });

  it('keeps the base device from every change, by its number and by its kind', () => {
    requireOrdinary(web, 'removed');
    for (const base of [
      { ...web, id: deviceId(1) },
      { ...web, kind: 'base' as const },
    ])
      assert.throws(() => requireOrdinary(base, 'removed'), {
        code: 'invalid-argument',
        message: /cannot be removed$/,
      });
  });
});
