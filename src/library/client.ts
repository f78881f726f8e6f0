/** `thinfuse/client`: a running daemon over its control socket. What is exported here keeps its meaning within a major version. */
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
export type {
  DeviceInfo,
  DeviceKind,
  FilesystemType,
  PoolInfo,
  PoolMode,
  PoolOptions,
} from '../pool/info.js';
export { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
