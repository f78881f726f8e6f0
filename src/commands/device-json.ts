import type { ListedDevice } from '../docker/listed-device.js';
import { PUSHED } from '../format/device-record.js';
import type { DeviceOutput } from '../outputs/shapes.js';

/**
 * A device as `--json` shows it: every key always there, in this order. Sizes in bytes, times as
 * ISO 8601 in UTC.
 */
export function deviceJson(device: ListedDevice): DeviceOutput {
  return {
    name: device.name,
    id: device.id,
    kind: device.kind,
    origin: device.originName ?? null,
    originId: device.origin ?? null,
    size: device.size,
    quota: device.quota ?? null,
    limit: device.limit ?? null,
    mapped: device.mapped,
    exclusive: device.exclusive,
    shared: device.shared,
    remote: device.remote ?? 0,
    highestMapped: device.highestMapped,
    transactionId: device.transactionId,
    creationTime: device.creationTime,
    snapTime: device.snapTime,
    createdAt: new Date(device.createdAt).toISOString(),
    filesystem: device.content === 'raw' ? null : device.filesystem,
    filesystemSize: device.filesystemSize,
    initialized: device.initialized,
    deleted: device.deleted,
    content: device.content ?? 'rootfs',
    automount: device.automount ?? null,
    labels: device.labels ?? {},
    label: device.label,
    unfinished: device.maker !== '' && device.maker !== PUSHED,
    active: device.active,
    path: device.path ?? null,
    loop: device.loop ?? null,
    mountPoint: device.mountPoint ?? null,
  };
}
