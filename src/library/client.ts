/**
 * `thinfuse/client`: a running daemon over its control socket. What is exported here keeps its meaning within
 * a major version.
 */
export { connect, DaemonClient, type ConnectOptions } from './daemon-client.js';
export type {
  CheckInput,
  CheckReport,
  DaemonStatus,
  DeviceStatus,
  OperationName,
  Operations,
  TextOperationName,
  TextOperations,
  TrimResult,
} from '../api/operations.js';
export type { ExportedDevice } from '../transfer/export-pool.js';
export type { FileChanges } from '../transfer/diff.js';
export type { ImageRequest } from '../transfer/make-image.js';
export type { Received, ReceiveRequest } from '../transfer/receive.js';
export type { SendRequest } from '../transfer/send.js';
export { parsePoint, formatPoint, type StreamPoint } from '../transfer/stream-format.js';
export type {
  DeviceInfo,
  DeviceKind,
  FilesystemType,
  PoolInfo,
  PoolMode,
  PoolOptions,
} from '../pool/info.js';
export { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
