import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import {
  deviceId,
  snapTime,
  transactionId,
  type DeviceName,
  type TransactionId,
} from '../../src/format/ids.js';
import type { ListedDevice } from '../../src/docker/listed-device.js';
import type { DeviceInfo, PoolInfo } from '../../src/pool/info.js';

export const GIB = 2 ** 30;
export const MIB = 2 ** 20;

/** A pool of Docker's default sizes with nothing in it but the base device. */
export function poolInfo(change: Partial<PoolInfo> = {}): PoolInfo {
  return {
    kind: 'leveldb',
    uuid: '5e0f7f4c-6a5a-4b3c-9a53-0c0f4a3a2b11',
    mode: 'rw',
    needsCheck: false,
    blockSize: 65536,
    transactionId: transactionId(1),
    time: snapTime(0),
    dataUsed: 0,
    dataTotal: 100 * GIB,
    metadataUsed: 0,
    metadataTotal: 2 * GIB,
    metadataBlockSize: 4096,
    lastDeviceId: deviceId(1),
    baseDeviceUuid: '8c0a4a6b-1f67-4d3c-9d62-3f1f3d1d9b0e',
    baseFilesystem: 'xfs',
    baseSize: 10 * GIB,
    pendingDeletes: 0,
    options: DEFAULT_POOL_OPTIONS,
    ...change,
  };
}

/** A device by number and name; `origin` is another such device. */
export function device(
  id: number,
  name: string,
  change: Partial<Omit<ListedDevice, 'origin'>> & { origin?: DeviceInfo } = {},
): ListedDevice {
  const { origin, ...rest } = change;
  return {
    id: deviceId(id),
    name: name as DeviceName,
    kind: name === 'base' ? 'base' : 'image',
    origin: origin?.id,
    originName: origin?.name,
    size: 10 * GIB,
    mapped: 0,
    exclusive: 0,
    shared: 0,
    highestMapped: 0,
    transactionId: transactionId(id),
    creationTime: snapTime(0),
    snapTime: snapTime(0),
    createdAt: Date.UTC(2024, 0, 2, 3, 4, 5),
    filesystem: 'xfs',
    filesystemSize: 10 * GIB,
    initialized: name === 'base',
    deleted: false,
    label: '',
    maker: '',
    active: false,
    path: undefined,
    loop: undefined,
    mountPoint: undefined,
    ...rest,
  };
}

export function transaction(
  id: number,
  name: string,
  number: number,
): {
  id: TransactionId;
  name: DeviceName;
  device: DeviceInfo['id'];
} {
  return { id: transactionId(id), name: name as DeviceName, device: deviceId(number) };
}
