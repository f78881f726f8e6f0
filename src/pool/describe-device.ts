import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceIo } from '../io/device-io.js';
import type { Metadata } from '../metadata/metadata.js';
import type { DeviceInfo } from './info.js';

/** A device as its users see it. `io`: its data path, while it is active. */
export function describeDevice(
  record: DeviceRecord,
  metadata: Metadata,
  io: DeviceIo | undefined,
): DeviceInfo {
  const { blockSize } = metadata.superblock;
  const mapped = io?.mappedChunks ?? record.mapped;
  const alone = metadata.devices.familySize(record.id) === 1;
  // What no commit has counted yet was mapped by this device alone.
  const exclusive = alone ? mapped : Math.min(mapped, record.exclusive + Math.max(0, mapped - record.mapped));
  return {
    id: record.id,
    name: record.name,
    kind: record.kind,
    origin: record.origin === 0 ? undefined : record.origin,
    originName: originName(record, metadata),
    size: record.size,
    mapped: mapped * blockSize,
    exclusive: exclusive * blockSize,
    shared: (mapped - exclusive) * blockSize,
    highestMapped: metadata.endOfMappings(record.id) * blockSize,
    transactionId: record.transactionId,
    creationTime: record.creationTime,
    snapTime: record.snapTime,
    createdAt: record.createdAt,
    filesystem: record.filesystem,
    filesystemSize: record.filesystemSize,
    initialized: record.initialized,
    deleted: record.deleted,
    label: record.label,
    active: io !== undefined,
  };
}

/** Its name now, or the last one it had. */
function originName(record: DeviceRecord, { devices }: Metadata): DeviceName | undefined {
  if (record.origin === 0) return undefined;
  return devices.has(record.origin) ? devices.get(record.origin).name : (record.originName as DeviceName);
}
