import type { FilesystemType } from '../pool/info.js';

export interface MountRequest {
  /** The image file in `<root>/dev`. */
  readonly image: string;
  readonly target: string;
  readonly filesystem: FilesystemType;
  readonly readOnly: boolean;
  /** Comma-separated, as `dm.mountopt`; empty for none. */
  readonly mountOptions: string;
  readonly xfsNospaceMaxRetries: number;
}

export interface Mounted {
  readonly target: string;
  readonly loop: string;
}

/** What the daemon asks of the host's kernel, so that its own logic can be tried without one. */
export interface DeviceHost {
  /** Loop device with direct I/O, then the mount; undone on failure. */
  mount(request: MountRequest): Promise<{ readonly loop: string }>;
  /** Unmounts, detaches. Errors: busy (a process works in it). `lazily`: syncs, then lets go in any case. */
  unmount(mounted: Mounted, options: { readonly lazily: boolean }): Promise<void>;
  /** The loop device takes its file's new size, then the filesystem fills it. */
  grow(mounted: Mounted, filesystem: FilesystemType): Promise<void>;
  /** `rootfs/` (0755) and `id` (0600, `name`, kept where one is) in a device mounted for writing, as Docker's driver had them. */
  furnish(target: string, name: string): Promise<void>;
  /** Runs `work` while every filesystem that is mounted for writing from `image` is frozen; thaws whatever happens. */
  frozen<T>(image: string, work: () => Promise<T>): Promise<T>;
  /** Makes the filesystem with the UUID given, or mkfs's own; returns the one it has. */
  format(request: {
    readonly image: string;
    readonly filesystem: FilesystemType;
    readonly extraArgs: readonly string[];
  }): Promise<{ readonly uuid: string }>;
  /** Makes the mount point; true where it was not there before. */
  makeTarget(target: string): Promise<boolean>;
  removeTarget(target: string): Promise<void>;
  /** What is mounted on `target`, by its source. */
  mountedOn(target: string): Promise<string | undefined>;
  /** Detaches loop devices that others attached to files below `folder`; lazily unmounts what is mounted from them. */
  releaseBelow(folder: string): Promise<readonly string[]>;
}
