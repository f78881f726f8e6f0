import { close, open as openCallback } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { BufferPool } from './buffer-pool.js';
import type { ImageDirectory } from '../io/image-file.js';
import { KernelChannel } from './kernel-channel.js';
import { KernelFilesystem } from './kernel-filesystem.js';
import { abandonMount, mountWith } from './kernel-mount.js';
import { REQUEST_OVERHEAD } from './kernel-protocol.js';
import {
  fuseDeviceError,
  leaveMountPoint,
  mountedOn,
  requireFreeMountPoint,
  resolveMountPoint,
  unmountPlainly,
} from './mount-point.js';
import type { Transport } from './transport.js';

const openFd = promisify(openCallback);
const closeFd = promisify(close);

const FUSE_DEVICE = '/dev/fuse';
/** FUSE_MAX_MAX_PAGES of the kernel, in bytes. */
const MAX_IO = 1024 * 1024;
const MAX_BUFFERS = 64;
/** One reads while the other one's request is served; more only get in each other's way on the one serving thread (measured: 47 k IOPS
 * with 2, 36 k with 4). */
const DEFAULT_READERS = 2;
/** libuv's default; what the daemon sets for itself is in the environment. */
const DEFAULT_POOL_THREADS = 4;
/** A request may need one for the store and one for the wake-up at unmount. */
const THREADS_FOR_OTHERS = 2;

export interface KernelTransportOptions {
  /** Requests read at once; fewer where libuv's pool (UV_THREADPOOL_SIZE) is too small for as many and two more threads. */
  readonly readers?: number;
  /** Told of errors that are bugs; the caller gets EIO. */
  readonly onFault?: (error: ThinError) => void;
}

type State = 'new' | 'mounted' | 'ended';

/**
 * The FUSE protocol spoken on /dev/fuse, without libfuse: requests of 1 MiB, several in flight, fallocate and lseek. Needs root.
 * An instance mounts once. While it is mounted, `readers` threads of libuv's pool are taken.
 */
export class KernelTransport implements Transport {
  readonly kind = 'kernel';
  readonly supportsDiscard = true;
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly #filesystem: KernelFilesystem;
  readonly #buffers = new BufferPool(MAX_IO + REQUEST_OVERHEAD, MAX_BUFFERS);
  readonly #readers: number;
  readonly #onFault: (error: ThinError) => void;
  readonly #abandon = (): void => abandonMount(this.#target);
  #resolveEnded: () => void = () => undefined;
  #state: State = 'new';
  #channel: KernelChannel | undefined;
  #fd = -1;
  #target = '';
  #device = '';
  #mounting: Promise<void> | undefined;
  #unmounting: Promise<void> | undefined;

  constructor(mountPoint: string, directory: ImageDirectory, options: KernelTransportOptions = {}) {
    this.mountPoint = path.resolve(mountPoint);
    this.#readers = Math.max(
      1,
      Math.min(options.readers ?? DEFAULT_READERS, poolThreads() - THREADS_FOR_OTHERS),
    );
    this.#onFault = options.onFault ?? (() => undefined);
    this.#filesystem = new KernelFilesystem(directory, {
      maxIo: MAX_IO,
      buffers: this.#buffers,
      onFault: this.#onFault,
    });
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  mount(): Promise<void> {
    return (this.#mounting ??= this.#mount());
  }

  async #mount(): Promise<void> {
    if (endianness() !== 'LE')
      throw new ThinError(
        'unsupported',
        'the kernel transport needs a little-endian machine; choose fuse-native',
      );
    this.#target = await resolveMountPoint(this.mountPoint);
    await requireFreeMountPoint(this.#target);
    const fd = await openFd(FUSE_DEVICE, 'r+').catch((error: unknown) => {
      throw fuseDeviceError(error);
    });
    const channel = new KernelChannel({
      fd,
      readers: this.#readers,
      buffers: this.#buffers,
      serve: (request) => this.#filesystem.serve(request),
      onFault: (error) => this.#onFault(toThinError(error)),
    });
    channel.start();
    try {
      await mountWith({ fd, target: this.#target, maxRead: MAX_IO });
    } catch (error) {
      channel.stop();
      await channel.drained;
      await closeFd(fd);
      throw error;
    }
    process.on('exit', this.#abandon);
    this.#fd = fd;
    this.#channel = channel;
    this.#device = (await mountedOn(this.#target))?.device ?? '';
    this.#state = 'mounted';
    void channel.drained.then(() => this.#end());
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
    if (!(await unmountPlainly(this.#target, this.#device))) await this.#leaveOpenFiles();
    await this.#channel?.drained;
    await this.#end();
  }

  /**
   * Files are open: the connection would live on, and with it readers that nobody can wake. So the folder is kept at hand
   * while it is unmounted, and looking for names in it wakes them one by one; then closing the descriptor ends the connection.
   */
  async #leaveOpenFiles(): Promise<void> {
    const folder = await open(this.#target, 'r').catch(() => undefined);
    try {
      await leaveMountPoint(this.#target, this.#device);
      await this.#channel?.idle();
      this.#channel?.stop();
      if (folder !== undefined) await this.#wakeReaders(folder);
    } finally {
      // Its release would wait for an answer that no reader gives; the descriptor goes first.
      await this.#end();
      await folder?.close().catch(() => undefined);
    }
  }

  async #wakeReaders(folder: FileHandle): Promise<void> {
    const channel = this.#channel;
    while (channel !== undefined && channel.readers > 0 && channel.connected) {
      const asked = lstat(`/proc/self/fd/${String(folder.fd)}/wake-up`).catch(() => undefined);
      // Another request may wake the last reader first; then nobody answers this one, until the descriptor is closed.
      await Promise.race([asked, channel.drained]);
    }
  }

  /** Safe to call more than once. */
  async #end(): Promise<void> {
    if (this.#state !== 'mounted') return this.ended;
    this.#state = 'ended';
    // An aborted connection leaves its mount behind.
    await leaveMountPoint(this.#target, this.#device).catch((error: unknown) =>
      this.#onFault(toThinError(error)),
    );
    await this.#channel?.idle();
    await closeFd(this.#fd);
    this.#filesystem.close();
    process.off('exit', this.#abandon);
    this.#resolveEnded();
  }
}

function poolThreads(): number {
  const set = Number(process.env['UV_THREADPOOL_SIZE']);
  return Number.isInteger(set) && set > 0 ? set : DEFAULT_POOL_THREADS;
}
