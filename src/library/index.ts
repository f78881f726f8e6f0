/** `thinfuse`: a pool in this process. What is exported here keeps its meaning within a major version. */
export {
  createPool,
  openPool,
  Pool,
  type CreateOptions,
  type OpenOptions,
  type ThinOptions,
} from './pool.js';
export type { ExportedDevice } from '../transfer/export-pool.js';
export type { Received, ReceiveRequest } from '../transfer/receive.js';
export type { SendRequest } from '../transfer/send.js';
export { parsePoint, formatPoint, type StreamPoint } from '../transfer/stream-format.js';
export { Device, type ByteRange, type SnapshotOptions } from './device.js';
export type { DeviceStatus } from '../service/devices.js';
export type {
  DeviceInfo,
  DeviceKind,
  FilesystemType,
  PoolInfo,
  PoolMode,
  PoolOptions,
} from '../pool/info.js';
export type { PoolCheck } from '../pool/thin-pool.js';
export { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
