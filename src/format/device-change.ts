import { ByteReader, ByteWriter } from './byte-cursor.js';
import { packDeviceRecord, unpackDeviceRecord, type DeviceRecord } from './device-record.js';
import type { DeviceId } from './ids.js';

/**
 * What the log has of a device that was made: its record then, and the label that its origin has since.
 *
 * created := origin-label:text length:u32 device        device: as in device-record.ts
 */
export interface CreatedDevice {
  readonly record: DeviceRecord;
  readonly originLabel: string;
}

export function packCreatedDevice({ record, originLabel }: CreatedDevice): Uint8Array {
  return new ByteWriter().text(originLabel).bytes(packDeviceRecord(record)).finish();
}

/** @throws ThinError damaged, naming `path` */
export function unpackCreatedDevice(id: DeviceId, bytes: Uint8Array, path: string): CreatedDevice {
  const from = new ByteReader(bytes, path);
  const originLabel = from.text();
  const record = unpackDeviceRecord(id, from.bytes(), path);
  from.finish();
  return { record, originLabel };
}

/** Of a record, what its users change: a mapping changes the rest. */
export function changeOf(record: DeviceRecord): DeviceFields {
  const { name, kind, size, filesystem, filesystemSize, initialized, deleted } = record;
  const { label, quota, limit, maker, content, automount, labels } = record;
  return {
    ...{ name, kind, size, filesystem, filesystemSize, initialized, deleted },
    ...{ label, quota, limit, maker, content, automount, labels },
  };
}

export type DeviceFields = Pick<
  DeviceRecord,
  | 'name'
  | 'kind'
  | 'size'
  | 'filesystem'
  | 'filesystemSize'
  | 'initialized'
  | 'deleted'
  | 'label'
  | 'quota'
  | 'limit'
  | 'maker'
  | 'content'
  | 'automount'
  | 'labels'
>;
