import type { DeviceInfo } from '../pool/info.js';

/** A device as the listings show it: what the pool knows and, from a daemon, where it is to be seen. */
export interface ListedDevice extends DeviceInfo {
  /** The image file, while active. */
  readonly path: string | undefined;
  /** `/dev/loopN`, while mounted. */
  readonly loop: string | undefined;
  readonly mountPoint: string | undefined;
}
