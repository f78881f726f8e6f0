import { ThinError } from '../errors/thin-error.js';
import type { DeviceRecord } from '../format/device-record.js';
import { deviceId, type DeviceName } from '../format/ids.js';
import type { DeviceTable } from '../metadata/device-table.js';

/** @throws ThinError not-found */
export function requireRecord(devices: DeviceTable, name: DeviceName): DeviceRecord {
  const record = devices.find(name);
  if (record === undefined)
    throw new ThinError('not-found', `there is no device ${name}; thinfuse ls lists them`);
  return record;
}

/** @throws ThinError exists */
export function requireFree(devices: DeviceTable, name: DeviceName): void {
  if (devices.find(name) !== undefined)
    throw new ThinError('exists', `there is a device ${name} already; remove it or choose another name`);
}

/** @throws ThinError invalid-argument */
export function requireOrdinary(record: DeviceRecord, what: string): void {
  if (record.id === deviceId(1) || record.kind === 'base')
    throw new ThinError('invalid-argument', `the base device belongs to the pool and cannot be ${what}`);
}
