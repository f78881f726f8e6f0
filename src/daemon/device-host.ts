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
  /** As the mount table shows it. */
  readonly target: string;
  readonly loop: string;
}

/** What the daemon asks of the host's kernel, so that its own logic can be tried without one. */
export interface DeviceHost {
  /** Loop device with direct I/O, then the mount; undone on failure. Errors: as `Mounter.mount`. */
  mount(request: MountRequest): Promise<Mounted>;
  /** Unmounts, detaches. Errors: busy (a process works in it). `lazily`: syncs, then lets go in any case. */
  unmount(mounted: Mounted, options: { readonly lazily: boolean }): Promise<void>;
  /** The loop device takes its file's new size, then the filesystem fills it. */
  grow(mounted: Mounted, filesystem: FilesystemType, size: number): Promise<void>;
  /** `rootfs/` (0755) and `id` (0600, `name`, kept where one is) in a device mounted for writing, as Docker's driver had them. */
  furnish(target: string, name: string): Promise<void>;
  /** Runs `work` while every filesystem that is mounted for writing from `image` is frozen; thaws whatever happens. */
  frozen<T>(image: string, work: () => Promise<T>): Promise<T>;
  /** Makes the filesystem; returns its UUID. */
  format(
    image: string,
    filesystem: FilesystemType,
    options: { readonly uuid?: string | undefined; readonly extraArgs: readonly string[] },
  ): Promise<{ readonly uuid: string }>;
  /** Makes the mount point; true where it was not there before. Errors: not-found, invalid-argument (no folder). */
  makeTarget(target: string): Promise<boolean>;
  /** Leaves what is not empty or cannot go. */
  removeTarget(target: string): Promise<void>;
  /** Clears mounts and loop devices on image files that nobody here knows of; returns what it did, in words. */
  clearOthers(): Promise<readonly string[]>;
}
