import { constants } from 'node:fs';
import path from 'node:path';
import type FuseType from 'fuse-native';
import type { Operations, Stat } from 'fuse-native';
import { ThinError, toThinError } from '../errors/thin-error.js';
import {
  directoryAttributes,
  fileAttributes,
  flushedAfter,
  readableLength,
  requireSameSize,
  requireWritable,
  spaceBlocks,
  type Attributes,
} from './image-access.js';
import type { ImageDirectory, ImageFile } from '../io/image-file.js';
import { InFlight } from '../async/in-flight.js';
import { mountFailure } from './mount-failure.js';
import { holdMountNamespace } from './mount-namespace.js';
import {
  filesystemLives,
  leaveMountPoint,
  mountedOn,
  requireFreeMountPoint,
  requireFuseDevice,
  resolveMountPoint,
} from './mount-point.js';
import { O_ACCMODE, OpenFiles } from './open-files.js';
import type { Transport } from './transport.js';

const MOUNT_OPTIONS = [
  // Without it libfuse 2 cuts every write into 4 KiB.
  'big_writes',
  'max_read=131072',
  // Every open bypasses the page cache: a loop device with direct I/O and a plain reader of the file see the
  // same bytes at once.
  'direct_io',
  // Sizes and names change under the mount (grow, activate, deactivate), so nothing is remembered.
  'attr_timeout=0',
  'entry_timeout=0',
  'negative_timeout=0',
  // Mounts and loop devices may be used from other user ids; the kernel checks the 0600 of the files.
  'allow_other',
  'default_permissions',
  'fsname=thinfuse',
  'subtype=thinfuse',
];

const EPERM = 1;
const NAME_MAX = 255;

export interface FuseNativeOptions {
  /** Milliseconds between looks at /proc/self/mountinfo: libfuse 2 does not say when a mount has ended. */
  readonly watchInterval?: number;
  /** Told of errors that are bugs (`internal`); the caller gets EIO. */
  readonly onFault?: (error: ThinError) => void;
}

type State = 'new' | 'mounted' | 'ended';

/**
 * libfuse 2 through the npm package `fuse-native`. Requests arrive one by one on the main thread, up to 128
 * KiB each; there is no fallocate, so no discard, and no flags of a single write, so that RWF_DSYNC is not
 * seen (O_DSYNC is). An instance mounts once.
 */
export class FuseNativeTransport implements Transport {
  readonly kind = 'fuse-native';
  readonly supportsDiscard = false;
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly #directory: ImageDirectory;
  readonly #open: OpenFiles;
  readonly #inFlight = new InFlight();
  readonly #watchInterval: number;
  readonly #onFault: (error: ThinError) => void;
  readonly #startedAt = Date.now();
  #resolveEnded: () => void = () => undefined;
  #state: State = 'new';
  #fuse: FuseType | undefined;
  #device = '';
  #target = '';
  #watcher: NodeJS.Timeout | undefined;
  #mounting: Promise<void> | undefined;
  #unmounting: Promise<void> | undefined;

  constructor(mountPoint: string, directory: ImageDirectory, options: FuseNativeOptions = {}) {
    this.mountPoint = path.resolve(mountPoint);
    this.#directory = directory;
    this.#open = new OpenFiles(directory);
    this.#watchInterval = options.watchInterval ?? 500;
    this.#onFault = options.onFault ?? (() => undefined);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  mount(): Promise<void> {
    return (this.#mounting ??= this.#mount());
  }

  async #mount(): Promise<void> {
    const target = await resolveMountPoint(this.mountPoint);
    await requireFreeMountPoint(target);
    await requireFuseDevice();
    holdMountNamespace();
    const Fuse = await loadFuse();
    const fuse = new Fuse(target, this.#operations(), { timeout: false });
    await openFuse(fuse, target);
    this.#fuse = fuse;
    this.#target = target;
    this.#state = 'mounted';
    this.#device = (await mountedOn(target))?.device ?? '';
    this.#watch();
  }

  async unmount(): Promise<void> {
    await this.#mounting?.catch(() => undefined);
    if (this.#state !== 'mounted') return;
    this.#unmounting ??= this.#leave().finally(() => {
      this.#unmounting = undefined;
    });
    await this.#unmounting;
  }

  async #leave(): Promise<void> {
    await leaveMountPoint(this.#target, this.#device);
    await this.#end();
  }

  async #end(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    clearTimeout(this.#watcher);
    await new Promise<void>((resolve) => {
      this.#fuse?.close(() => resolve());
    });
    await this.#inFlight.idle();
    this.#releaseRest();
    this.#resolveEnded();
  }

  /**
   * The kernel drops the last RELEASE of a filesystem that is no longer mounted, so what is open when it goes
   * is released here.
   */
  #releaseRest(): void {
    if (this.#open.size === 0) return;
    setTimeout(() => {
      void filesystemLives(this.#device).then((lives) => {
        if (lives) this.#releaseRest();
        else this.#open.releaseAll();
      });
    }, this.#watchInterval).unref();
  }

  #watch(): void {
    this.#watcher = setTimeout(() => {
      void this.#look().finally(() => {
        if (this.#state === 'mounted') this.#watch();
      });
    }, this.#watchInterval);
    this.#watcher.unref();
  }

  async #look(): Promise<void> {
    const there = await mountedOn(this.#target).catch(() => undefined);
    if (there?.device !== this.#device && this.#unmounting === undefined) await this.#end();
  }

  #operations(): Partial<Operations> {
    const refuse = (reply: (code: number) => void): void => reply(-EPERM);
    return {
      getattr: (file, reply) => {
        this.#answer(reply, () => stat(this.#attributes(file)));
      },
      readdir: (_file, reply) => {
        this.#answer(reply, () => ['.', '..', ...this.#directory.names()]);
      },
      statfs: (_file, reply) => {
        this.#answer(reply, () => {
          const { blockSize, total, free, files, filesFree } = spaceBlocks(this.#directory.space());
          return {
            bsize: blockSize,
            frsize: blockSize,
            blocks: total,
            bfree: free,
            bavail: free,
            files,
            ffree: filesFree,
            favail: filesFree,
            namemax: NAME_MAX,
          };
        });
      },
      open: (file, flags, reply) => {
        this.#answer(reply, () => {
          const image = this.#file(file);
          if ((flags & O_ACCMODE) !== constants.O_RDONLY) requireWritable(file, image, 0, 0);
          return this.#open.open(file.slice(1), image, flags);
        });
      },
      opendir: (_file, _flags, reply) => reply(0),
      release: (_file, handle, reply) => {
        this.#do(reply, () => {
          this.#open.release(handle);
          return 0;
        });
      },
      releasedir: (_file, _handle, reply) => reply(0),
      read: (_file, handle, buffer, length, offset, reply) => {
        this.#do(reply, () => {
          const { file } = this.#open.get(handle);
          const inside = readableLength(file, offset, length);
          if (inside === 0) return 0;
          return after(file.read(offset, buffer.subarray(0, inside)), inside);
        });
      },
      write: (_file, handle, buffer, length, offset, reply) => {
        this.#do(reply, () => {
          const { name, file, durable } = this.#open.get(handle);
          requireWritable(name, file, offset, length);
          const written = file.write(offset, buffer);
          return after(durable ? flushedAfter(written, file) : written, length);
        });
      },
      flush: (_file, handle, reply) => {
        // A close of what could only be read: a pool that has failed has no error for it.
        this.#do(reply, () => (this.#open.get(handle).forWriting ? this.#flush(handle) : 0));
      },
      fsync: (_file, _dataOnly, handle, reply) => {
        this.#do(reply, () => this.#flush(handle));
      },
      fsyncdir: (_file, _dataOnly, _handle, reply) => reply(0),
      truncate: (file, size, reply) => {
        this.#do(reply, () => {
          requireSameSize(file.slice(1), this.#file(file), size);
          return 0;
        });
      },
      // Accepted and forgotten: tools that copy attributes should not fail on a device file.
      chmod: (_file, _mode, reply) => reply(0),
      chown: (_file, _uid, _gid, reply) => reply(0),
      utimens: (_file, _atime, _mtime, reply) => reply(0),
      create: (_file, _mode, reply) => refuse(reply),
      mknod: (_file, _mode, _device, reply) => refuse(reply),
      mkdir: (_file, _mode, reply) => refuse(reply),
      unlink: (_file, reply) => refuse(reply),
      rmdir: (_file, reply) => refuse(reply),
      rename: (_file, _to, reply) => refuse(reply),
      link: (_file, _to, reply) => refuse(reply),
      symlink: (_file, _to, reply) => refuse(reply),
    };
  }

  #flush(handle: number): Promise<number> | number {
    const { file } = this.#open.get(handle);
    return file.readOnly ? 0 : file.flush().then(() => 0);
  }

  #attributes(file: string): Attributes {
    return file === '/' ? directoryAttributes(this.#startedAt) : fileAttributes(this.#file(file));
  }

  /** @throws ThinError not-found */
  #file(file: string): ImageFile {
    const image = this.#directory.lookup(file.slice(1));
    if (image === undefined)
      throw new ThinError('not-found', `${file.slice(1)} is not active; activate the device first`);
    return image;
  }

  /** Answers with a value. */
  #answer<T>(reply: (code: number, value?: T) => void, work: () => T): void {
    let value: T;
    try {
      value = work();
    } catch (error) {
      reply(this.#failure(error));
      return;
    }
    reply(0, value);
  }

  /**
   * Answers with a count, exactly once: a second answer would release the next request of that libfuse thread
   * unserved.
   */
  #do(reply: (code: number) => void, work: () => Promise<number> | number): void {
    let result: Promise<number> | number;
    try {
      result = work();
    } catch (error) {
      reply(this.#failure(error));
      return;
    }
    if (typeof result === 'number') {
      reply(result);
      return;
    }
    this.#inFlight.enter();
    result
      .catch((error: unknown) => this.#failure(error))
      .then((code) => {
        reply(code);
        this.#inFlight.leave();
      }, this.#onFault);
  }

  #failure(error: unknown): number {
    const failure = toThinError(error);
    if (failure.code === 'internal') this.#onFault(failure);
    return -failure.errno;
  }
}

function after(work: Promise<void> | undefined, count: number): Promise<number> | number {
  return work === undefined ? count : work.then(() => count);
}

function stat(attributes: Attributes): Stat {
  const { mode, nlink, uid, gid, size, blocks, blockSize, modifiedAt } = attributes;
  return {
    mode,
    nlink,
    uid,
    gid,
    size,
    blocks,
    blksize: blockSize,
    mtime: modifiedAt,
    atime: modifiedAt,
    ctime: modifiedAt,
  };
}

type FuseConstructor = typeof FuseType;
let loaded: FuseConstructor | undefined;

/** @throws ThinError unsupported: the package or its libfuse is not there. */
export async function requireFuseNative(): Promise<void> {
  await loadFuse();
}

/**
 * Loaded at the first mount: the package has no build for every machine, and the kernel transport must do
 * without it.
 */
async function loadFuse(): Promise<FuseConstructor> {
  if (loaded !== undefined) return loaded;
  let Fuse: FuseConstructor;
  try {
    Fuse = (await import('fuse-native')).default;
  } catch (error) {
    throw new ThinError(
      'unsupported',
      `fuse-native does not load on ${process.platform}-${process.arch}: ${String(error)}; choose the kernel transport, or install libfuse 2 and then thinfuse again`,
      { cause: error },
    );
  }
  // Its own unmount is `fusermount -uz` in a shell: always lazy, and on whatever is mounted there by now.
  // `leaveMountPoint` does that work before close(), which then only releases the event loop.
  Fuse.unmount = (_mountPoint, done) => {
    done(null);
  };
  loaded = class extends Fuse {
    protected override _fuseOptions(): string {
      return `-o${MOUNT_OPTIONS.join(',')}`;
    }
  };
  return loaded;
}

async function openFuse(fuse: FuseType, target: string): Promise<void> {
  const error = await new Promise<Error | null>((resolve) => {
    fuse.open((failure) => resolve(failure));
  });
  if (error != null) throw await mountFailure(error, target);
}
