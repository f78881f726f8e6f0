import { BASE_NAME } from '../format/device-name.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceName } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import type { DeviceIo } from '../io/device-io.js';
import { METADATA_BLOCK_SIZE } from './create-pool.js';
import type { DeviceInfo, PoolInfo, PoolMode, PoolOptions } from './info.js';

const LACKS_LOG =
  "devices are shown as the pool's last commit has them, without what was written after that: the pool is read-only and cannot take over its log (run thinfuse check, then stop and start it). Nothing is lost; look again when the pool takes writes";

/** @param atHand chunks that are taken, but only for the next writes: they are not used */
export function describePool(
  { superblock, chunks, nodes, devices, heldRoots, remote }: Metadata,
  {
    mode,
    options,
    atHand,
    waitedEnough,
    lacksLog,
  }: { mode: PoolMode; options: PoolOptions; atHand: number; waitedEnough: boolean; lacksLog: boolean },
): PoolInfo {
  return {
    kind: superblock.kind,
    uuid: superblock.uuid,
    mode,
    needsCheck: superblock.needsCheck,
    blockSize: superblock.blockSize,
    transactionId: superblock.transactionId,
    time: superblock.time,
    dataUsed: (chunks.used - atHand) * superblock.blockSize,
    ...(remote.count > 0 && { dataRemote: remote.count * superblock.blockSize }),
    dataTotal: superblock.chunks * superblock.blockSize,
    metadataUsed: nodes.used * METADATA_BLOCK_SIZE,
    metadataTotal: superblock.nodes * METADATA_BLOCK_SIZE,
    metadataBlockSize: METADATA_BLOCK_SIZE,
    lastDeviceId: superblock.lastDeviceId,
    baseDeviceUuid: superblock.baseUuid,
    baseFilesystem: devices.find(BASE_NAME)?.filesystem ?? options.filesystem,
    baseSize: devices.find(BASE_NAME)?.size ?? options.baseSize,
    heldRoot: heldRoots.all().at(-1)?.id,
    waitedEnough,
    lacks: lacksLog ? LACKS_LOG : undefined,
    pendingDeletes: devices.pendingCount + heldRoots.owing,
    options,
  };
}

/** @param active what an active device maps beyond its record */
export function describeDevice(
  metadata: Metadata,
  record: DeviceRecord,
  active: Pick<DeviceIo, 'mappedChunks' | 'traffic'> | undefined,
): DeviceInfo {
  const { blockSize } = metadata.superblock;
  const mapped = active?.mappedChunks ?? record.mapped;
  const left = metadata.remote.count === 0 ? 0 : metadata.remote.leftOf(record.family);
  const alone = metadata.devices.familySize(record.id) === 1;
  // What no commit has counted yet was mapped by this device alone.
  const exclusive = alone ? mapped : Math.min(mapped, record.exclusive + Math.max(0, mapped - record.mapped));
  return {
    id: record.id,
    name: record.name,
    kind: record.kind,
    origin: record.origin === 0 ? undefined : record.origin,
    originName: originName(metadata, record),
    size: record.size,
    quota: record.quota === 0 ? undefined : record.quota,
    limit: record.limit === 0 ? undefined : record.limit,
    mapped: mapped * blockSize,
    exclusive: exclusive * blockSize,
    shared: (mapped - exclusive) * blockSize,
    ...(left > 0 && { remote: Math.min(left, mapped) * blockSize }),
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
    maker: record.maker,
    content: record.content,
    automount: record.automount,
    labels: record.labels,
    active: active !== undefined,
    traffic: active?.traffic.totals(),
  };
}

/** Its name now, or the last one it had. */
function originName({ devices }: Metadata, record: DeviceRecord): DeviceName | undefined {
  if (record.origin === 0) return undefined;
  return devices.has(record.origin) ? devices.get(record.origin).name : (record.originName as DeviceName);
}
