import type { DeviceName } from '../../format/ids.js';
import type { LoopDevice } from '../../host/loop-devices.js';
import type { MountTable } from '../../host/mount-table.js';
import type { PoolInfo } from '../../pool/info.js';

/** A device as its daemon has it. */
export interface ServedDevice {
  readonly name: DeviceName;
  readonly deleted: boolean;
  /** It is removed after its last user. */
  readonly leaving: boolean;
  /** A program keeps it (`label`): its loop devices may be that program's. */
  readonly labelled: boolean;
  /** The image file, while active. */
  readonly path: string | undefined;
  readonly loop: string | undefined;
  readonly mountPoint: string | undefined;
}

/** Everything that `diagnose` judges, as it was at one moment. */
export interface DoctorFacts {
  /** `<root>/dev`, `<root>/mnt`. */
  readonly devicesFolder: string;
  readonly mountsFolder: string;
  readonly table: MountTable;
  /** Those on this pool's image files. */
  readonly loops: readonly LoopDevice[];
  /** Undefined where no daemon runs: then nothing of the pool should be mounted. */
  readonly served: readonly ServedDevice[] | undefined;
  /** Image files of the daemon's own devices, those that views are mounted from. */
  readonly views: readonly string[];
  /** Devices marked deleted. */
  readonly deleted: readonly DeviceName[];
  /** Devices whose maker is gone. */
  readonly unfinished: readonly DeviceName[];
  /** The users of each mount point and loop device, in words; no entry without users. */
  readonly users: ReadonlyMap<string, string>;
  /** Folders in `<root>/mnt`. */
  readonly mountFolders: readonly { readonly name: string; readonly empty: boolean }[];
  /** Mount points of views that are elsewhere, and of nobody any more; absolute. */
  readonly viewTargets: readonly string[];
  /** Sockets and pid files whose process is gone; absolute. */
  readonly deadFiles: readonly string[];
  /** Files of `<root>/metadata` that are missing, wrong or left behind. */
  readonly drifted: readonly string[];
  readonly pool: Pick<PoolInfo, 'mode' | 'needsCheck'>;
}
