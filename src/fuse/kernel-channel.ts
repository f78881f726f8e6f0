import { read, writeSync } from 'node:fs';
import { systemErrorCode } from '../errors/thin-error.js';
import type { BufferPool } from './buffer-pool.js';
import { InFlight } from './in-flight.js';

/** While mount(8) runs, the descriptor belongs to no filesystem yet and reads fail with EPERM. */
const BEFORE_MOUNT_MS = 2;

export interface KernelChannelOptions {
  /** An open /dev/fuse. */
  readonly fd: number;
  /** Requests under way in read(2) at once; each holds a thread of libuv's pool for as long as none comes. */
  readonly readers: number;
  /** Where requests land; each buffer holds the largest one. */
  readonly buffers: BufferPool;
  /** One whole request in, the reply out, now or later; undefined for none. Never throws or rejects. */
  readonly serve: (request: Buffer) => Buffer | undefined | Promise<Buffer | undefined>;
  /** An error of the descriptor that should not happen. */
  readonly onFault: (error: unknown) => void;
}

/** Reads requests from /dev/fuse and writes replies to it. */
export class KernelChannel {
  readonly #options: KernelChannelOptions;
  readonly #inFlight = new InFlight();
  /** Resolves when no reader is left: the connection has ended, or `stop` was called and each has been woken. */
  readonly drained: Promise<void>;
  #resolveDrained: () => void = () => undefined;
  #readers = 0;
  #stopping = false;
  #connected = true;

  constructor(options: KernelChannelOptions) {
    this.#options = options;
    this.drained = new Promise((resolve) => {
      this.#resolveDrained = resolve;
    });
  }

  /** False once the kernel has said that the connection is gone. */
  get connected(): boolean {
    return this.#connected;
  }

  get readers(): number {
    return this.#readers;
  }

  start(): void {
    for (let i = 0; i < this.#options.readers; i++) {
      this.#readers += 1;
      this.#read();
    }
  }

  /** Readers end after their next request; they block until there is one. */
  stop(): void {
    this.#stopping = true;
  }

  /** Every request that was read has its reply. */
  idle(): Promise<void> {
    return this.#inFlight.idle();
  }

  #read(): void {
    if (this.#stopping) {
      this.#endReader();
      return;
    }
    const { fd, buffers } = this.#options;
    const buffer = buffers.take();
    if (buffer === undefined) {
      buffers.whenFree(() => this.#read());
      return;
    }
    read(fd, buffer, 0, buffer.length, null, (error, length) => {
      if (error !== null) {
        buffers.give(buffer);
        this.#afterError(error);
        return;
      }
      // The next read first: its thread waits for the kernel while this one is served here.
      this.#read();
      this.#serve(buffer.subarray(0, length));
    });
  }

  #afterError(error: Error): void {
    switch (systemErrorCode(error)) {
      // The request was interrupted before it was read; nothing was lost.
      case 'ENOENT':
      case 'EINTR':
      case 'EAGAIN':
        this.#read();
        return;
      case 'EPERM':
        setTimeout(() => this.#read(), BEFORE_MOUNT_MS);
        return;
      case 'ENODEV':
      case 'ECONNABORTED':
        break;
      default:
        this.#options.onFault(error);
    }
    this.#connected = false;
    this.#endReader();
  }

  #endReader(): void {
    this.#readers -= 1;
    if (this.#readers === 0) this.#resolveDrained();
  }

  #serve(request: Buffer): void {
    const reply = this.#options.serve(request);
    if (!(reply instanceof Promise)) {
      this.#finish(request, reply);
      return;
    }
    this.#inFlight.enter();
    void reply.then((later) => {
      this.#finish(request, later);
      this.#inFlight.leave();
    });
  }

  #finish(request: Buffer, reply: Buffer | undefined): void {
    const { fd, buffers, onFault } = this.#options;
    try {
      if (reply !== undefined) writeSync(fd, reply);
    } catch (error) {
      // ENOENT: nobody waits for it any more, because it was interrupted or the connection has ended.
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENODEV') onFault(error);
    }
    buffers.give(request);
    if (reply !== undefined) buffers.give(reply);
  }
}
