import type { LogHandling } from '../host/block-mounts.js';
import type { Held } from '../host/mounter.js';
import type { FilesystemType } from '../pool/info.js';

export interface MountRequest {
  /** The image file in `<root>/dev`. */
  readonly image: string;
  readonly target: string;
  readonly filesystem: FilesystemType;
  readonly readOnly: boolean;
  /** Of a read-only mount, where the log is not clean (`LogHandling`). */
  readonly log?: LogHandling;
  /** Comma-separated, as `dm.mountopt`; empty for none. */
  readonly mountOptions: string;
  readonly xfsNospaceMaxRetries: number;
}

export interface Mounted {
  /** As the mount table shows it. */
  readonly target: string;
  readonly loop: string;
}

/** Of the root of a filesystem; what is undefined stays. */
export interface RootPermissions {
  /** As chmod(2) takes it. */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** A mount that was just made. */
export interface FreshMount extends Mounted {
  /** As blkid names it: what the device carries, whatever was asked for. */
  readonly filesystem: string;
  /** The log was not clean and was left alone, so that what it holds is missing. */
  readonly skippedLog: boolean;
}

/** Image files that an earlier daemon was at when it died. */
export interface LeftUndone {
  /** Their filesystems were frozen. */
  readonly frozen: readonly string[];
  /** They were about to be mounted. */
  readonly unfinished: readonly string[];
}

/** What the daemon asks of the host's kernel, so that its own logic can be tried without one. */
export interface DeviceHost {
  /** Loop device with direct I/O, then the mount; undone on failure. Errors: as `Mounter.mount`. */
  mount(request: MountRequest): Promise<FreshMount>;
  /**
   * Unmounts, detaches; nothing where the loop device is by now another file's. Errors: busy (a process works
   * in it). `lazily`: syncs, then unmounts in any case.
   */
  unmount(mounted: Held, options: { readonly lazily: boolean }): Promise<void>;
  /**
   * Unmounts if this was the last use: true then. False if a process or another mount, in any namespace,
   * still has the filesystem, which stays mounted.
   */
  withdraw(mounted: Mounted, request: MountRequest): Promise<boolean>;
  /**
   * Mounts again what another program unmounted from the target: true then. Errors: busy (its loop device is
   * gone, too).
   */
  restore(mounted: Mounted, request: MountRequest): Promise<boolean>;
  /** Those of `mounts` whose filesystem is mounted nowhere in this mount namespace. */
  unmounted<T extends Mounted>(mounts: readonly T[]): Promise<readonly T[]>;
  /** A loop device alone, for another program to mount. Errors: as `mount`. */
  attach(image: string, options: { readonly readOnly: boolean }): Promise<{ readonly loop: string }>;
  /** A loop device on the image, of any program. */
  loopOf(image: string): Promise<string | undefined>;
  /**
   * Nothing where the loop device is by now another file's. Errors: busy (something has it open or mounted;
   * it is detached after its last user, and is `leaving` until then).
   */
  detach(loop: string, image: string): Promise<void>;
  /** `gone`: the number is free, or by now another file's. */
  loopState(loop: string, image: string): Promise<'attached' | 'leaving' | 'gone'>;
  /**
   * A loop device that another program uses takes its file's new size; a filesystem that is mounted from it
   * in this mount namespace fills it, and elsewhere who mounted it has that to do.
   */
  growAttached(loop: string, filesystem: FilesystemType, size: number): Promise<void>;
  /** The loop device takes its file's new size, then the filesystem fills it. */
  grow(mounted: Mounted, filesystem: FilesystemType, size: number): Promise<void>;
  /**
   * Bytes of the mounted filesystem that may be in use, for as long as it is mounted. Beyond that, `write`
   * fails with ENOSPC. Undefined: all. Errors: unsupported (this kernel, or a /sys that cannot be written).
   */
  bound(mounted: Mounted, filesystem: FilesystemType, limit: number | undefined): Promise<void>;
  /**
   * `rootfs/` (0755) and `id` (0600, `name`, kept where one is) in a device mounted for writing, as Docker's
   * driver had them.
   */
  furnish(target: string, name: string): Promise<void>;
  /** Makes a fresh filesystem the empty root of a container: 0755, without ext4's lost+found. */
  bare(target: string): Promise<void>;
  /** Owner and mode of the root of the filesystem that is mounted on `target`. */
  setPermissions(target: string, permissions: RootPermissions): Promise<void>;
  /** Inodes in use in the mounted filesystem. O(1). */
  inodes(target: string): Promise<number>;
  /**
   * Runs `work` while every filesystem that is mounted for writing from `image` is frozen; thaws whatever
   * happens.
   */
  frozen<T>(image: string, work: () => Promise<T>): Promise<T>;
  /**
   * The filesystem mounted on `target` discards its free space; the bytes that it discarded, as it counts
   * them. Errors: unsupported (nothing below it takes discards), timeout.
   */
  trim(target: string): Promise<number>;
  /** Makes the filesystem; returns its UUID. */
  format(
    image: string,
    filesystem: FilesystemType,
    options: {
      readonly extraArgs: readonly string[];
      readonly size?: number | undefined;
      /** See `FormattedRequest`. */
      readonly template?: boolean | undefined;
    },
  ): Promise<{ readonly uuid: string }>;
  /**
   * Makes the mount point; true where it was not there before. Errors: not-found, invalid-argument (no
   * folder); no-space and read-only, with the `stage` target.
   */
  makeTarget(target: string): Promise<boolean>;
  /** Makes a mount point outside of the pool, whose disk takes none. Errors: the file system's. */
  makeViewTarget(): Promise<string>;
  /** It made it, or an earlier daemon of the pool did. */
  isViewTarget(target: string): boolean;
  /** Leaves what is not empty or cannot go. */
  removeTarget(target: string): Promise<void>;
  /**
   * Ends what an earlier daemon was at when it died: thaws what is mounted from the images that it had
   * frozen, and clears what is mounted from those, or attached to them, whose mounting it did not finish.
   * Returns what it did, in words.
   */
  recover(left: LeftUndone): Promise<readonly string[]>;
  /**
   * Removes mounts and loop devices on image files that this daemon does not know; returns what it did, in
   * words.
   */
  withdrawOthers(): Promise<readonly string[]>;
}
