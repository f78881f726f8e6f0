import { close, open as openCallback, writeSync } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { availableParallelism, endianness } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { until } from '../async/until.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { BufferPool } from './buffer-pool.js';
import type { ImageDirectory } from '../io/image-file.js';
import type { ConnectionChange, ConnectionState, KeptConnection } from './connection.js';
import { IoThreads } from './io-threads.js';
import { KernelFilesystem } from './kernel-filesystem.js';
import { forceUnmount, mountWith } from './kernel-mount.js';
import { REQUEST_OVERHEAD, packResend } from './kernel-protocol.js';
import { holdMountNamespace } from './mount-namespace.js';
import {
  fuseDeviceError,
  leaveMountPoint,
  mountedOn,
  requireFreeMountPoint,
  resolveMountPoint,
  abortConnection,
  unmountPlainly,
} from './mount-point.js';
import type { Transport } from './transport.js';

const openFd = promisify(openCallback);
const closeFd = promisify(close);

const FUSE_DEVICE = '/dev/fuse';
/** FUSE_MAX_MAX_PAGES of the kernel, in bytes. */
const MAX_IO = 1024 * 1024;
const MAX_BUFFERS = 64;
/** As many as processors that programs can keep busy at once, within reason. */
const DEFAULT_THREADS = Math.min(4, Math.max(2, availableParallelism()));

export interface KernelTransportOptions {
  /** I/O threads: 1 to MAX_THREADS. */
  readonly threads?: number;
  /** Told of errors that are bugs; the caller gets EIO. */
  readonly onFault?: (error: ThinError) => void;
  /** Where the mount is to outlive this process. */
  readonly connection?: KeptConnection | undefined;
  /** `connectionState` is another one now; the kernel is told afterwards. */
  readonly onConnectionChanged?: ((change: ConnectionChange) => void) | undefined;
}

/** For files that are kept open, an unmount takes so much longer. */
const CLOSE_PATIENCE_MS = 500;
const CLOSE_POLL_MS = 5;
/** After an unmount, the kernel ends a connection without other users within this time. */
const COPY_PATIENCE_MS = 1000;

type State = 'new' | 'mounted' | 'ended';

/**
 * The FUSE protocol spoken on /dev/fuse, without libfuse: requests of 1 MiB, several in flight, fallocate and
 * lseek. Needs root. An instance mounts once. I/O threads answer reads and writes of devices that other
 * threads may serve (`ImageFile.memory`).
 */
export class KernelTransport implements Transport {
  readonly kind = 'kernel';
  readonly supportsDiscard = true;
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly #filesystem: KernelFilesystem;
  readonly #buffers = new BufferPool(MAX_IO + REQUEST_OVERHEAD, MAX_BUFFERS);
  readonly #threads: number;
  readonly #onFault: (error: ThinError) => void;
  readonly #connection: KeptConnection | undefined;
  readonly #forceUnmount = (): void => forceUnmount(this.#target);
  #resolveEnded: () => void = () => undefined;
  #state: State = 'new';
  #channel: IoThreads | undefined;
  #fd = -1;
  #target = '';
  #device = '';
  #mounting: Promise<void> | undefined;
  #unmounting: Promise<void> | undefined;

  constructor(mountPoint: string, directory: ImageDirectory, options: KernelTransportOptions = {}) {
    this.mountPoint = path.resolve(mountPoint);
    this.#threads = options.threads ?? DEFAULT_THREADS;
    this.#onFault = options.onFault ?? (() => undefined);
    this.#connection = options.connection;
    this.#filesystem = new KernelFilesystem(directory, {
      maxIo: MAX_IO,
      buffers: this.#buffers,
      onFault: this.#onFault,
      onForgotten: (nodeId) => this.#channel?.forget(nodeId),
      survives: options.connection !== undefined,
      onChanged: options.onConnectionChanged,
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
    holdMountNamespace();
    const kept = this.#connection;
    if (kept?.state !== undefined) await this.#takeOver(kept.fd, kept.state);
    else await this.#mountAnew();
  }

  async #mountAnew(): Promise<void> {
    this.#target = await resolveMountPoint(this.mountPoint);
    await requireFreeMountPoint(this.#target);
    const fd =
      this.#connection?.fd ??
      (await openFd(FUSE_DEVICE, 'r+').catch((error: unknown) => {
        throw fuseDeviceError(error);
      }));
    const channel = this.#newChannel(fd);
    channel.start();
    try {
      await mountWith({ fd, target: this.#target, maxRead: MAX_IO });
    } catch (error) {
      channel.stop();
      await channel.drained;
      await closeFd(fd);
      throw error;
    }
    await this.#isMounted(fd, channel);
  }

  /** Looks at no path below the mount before a thread answers for it. */
  async #takeOver(fd: number, state: ConnectionState): Promise<void> {
    if (state.maxIo !== MAX_IO)
      throw new ThinError(
        'unsupported',
        'a version with other sizes of requests made the mount; stop the daemon, then start it',
      );
    this.#target = this.mountPoint;
    this.#filesystem.takeOver(state);
    const channel = this.#newChannel(fd);
    writeSync(fd, packResend());
    channel.start();
    await this.#isMounted(fd, channel);
  }

  #newChannel(fd: number): IoThreads {
    return new IoThreads({
      fd,
      threads: this.#threads,
      requestSize: MAX_IO + REQUEST_OVERHEAD,
      buffers: this.#buffers,
      fileOf: (nodeId) => this.#filesystem.fileOf(nodeId),
      serve: (request) => this.#filesystem.serve(request),
      serveWritten: (request) => this.#filesystem.serveWritten(request),
      onFault: (error) => this.#onFault(toThinError(error)),
    });
  }

  async #isMounted(fd: number, channel: IoThreads): Promise<void> {
    process.on('exit', this.#forceUnmount);
    this.#fd = fd;
    this.#channel = channel;
    this.#device = (await mountedOn(this.#target))?.device ?? '';
    this.#state = 'mounted';
    void channel.drained.then(() => this.#end());
  }

  /** See Transport. */
  connectionState(): ConnectionState | undefined {
    return this.#connection === undefined ? undefined : this.#filesystem.connectionState();
  }

  handOver(): ConnectionState | undefined {
    const state = this.connectionState();
    if (state !== undefined) this.#channel?.mute();
    return state;
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
    await this.#drain();
    await this.#end();
  }

  /** A copy of the mount in another namespace keeps the connection alive, and nothing wakes its readers. */
  async #drain(): Promise<void> {
    const { drained } = this.#channel ?? {};
    const isLate = await Promise.race([
      drained?.then(() => false),
      sleep(COPY_PATIENCE_MS, true, { ref: false }),
    ]);
    if (isLate === true && !(await abortConnection(this.#device)))
      this.#onFault(
        new ThinError(
          'busy',
          `the mount on ${this.#target} lives on in another mount namespace, and its connection cannot be ended; unmount it there too (grep ${this.#target} /proc/*/mountinfo)`,
        ),
      );
    await drained;
  }

  /**
   * Files are open. The connection would live on, with readers that nothing can wake. So the folder is kept
   * at hand while it is unmounted, and looking for names in it wakes them one by one; then closing the
   * descriptor ends the connection.
   */
  async #leaveOpenFiles(): Promise<void> {
    const folder = await open(this.#target, 'r').catch(() => undefined);
    try {
      await leaveMountPoint(this.#target, this.#device);
      await this.#channel?.idle();
      await this.#letFilesClose();
      this.#channel?.stop();
      if (folder !== undefined) await this.#wakeReaders(folder);
    } finally {
      // Its release would wait for an answer that no reader gives; the descriptor goes first.
      await this.#end();
      await folder?.close().catch(() => undefined);
    }
  }

  /**
   * A program that was just answered is about to close its file, and should not get an error of a closed
   * connection.
   */
  async #letFilesClose(): Promise<void> {
    const closed = (): boolean => this.#filesystem.openFiles === 0 || this.#channel?.connected !== true;
    await until(closed, { limitMs: CLOSE_PATIENCE_MS, pollMs: CLOSE_POLL_MS });
    await this.#channel?.idle();
  }

  async #wakeReaders(folder: FileHandle): Promise<void> {
    const channel = this.#channel;
    while (channel !== undefined && channel.readers > 0 && channel.connected) {
      const asked = lstat(`/proc/self/fd/${folder.fd}/wake-up`).catch(() => undefined);
      // Another request may wake the last reader first. Then no thread answers this one until the descriptor
      // is closed.
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
    await this.#connection?.release();
    await closeFd(this.#fd);
    this.#filesystem.close();
    process.off('exit', this.#forceUnmount);
    this.#resolveEnded();
  }
}
