import { writeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { systemErrorCode } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';
import { threadInts } from '../threads/dirty-map.js';
import type { BufferPool } from './buffer-pool.js';
import { InFlight } from '../async/in-flight.js';
import type { IoThreadData, IoThreadMessage, NodeNews } from './io-thread-protocol.js';
import { nodeIdOf } from './kernel-protocol.js';
import { FlushRhythm } from '../threads/flush-rhythm.js';
import { startThread } from '../threads/start-thread.js';

type Serve = (request: Buffer) => Buffer | undefined | Promise<Buffer | undefined>;

export interface IoThreadsOptions {
  /** An open /dev/fuse. */
  readonly fd: number;
  readonly threads: number;
  /** Bytes of the largest request, its headers included. */
  readonly requestSize: number;
  /** Where replies of the pool thread come from. */
  readonly buffers: BufferPool;
  /** The file that a node stands for, if it is one. */
  readonly fileOf: (nodeId: number) => ImageFile | undefined;
  /** One whole request in, the reply out, now or later; undefined for none. Never throws or rejects. */
  readonly serve: Serve;
  /** The same for a WRITE, up to its data, that a thread has carried out and could not make durable. */
  readonly serveWritten: Serve;
  /** An error that should not happen. */
  readonly onFault: (error: unknown) => void;
}

/**
 * The threads that read /dev/fuse, and the pool thread's part of their work: it answers what they hand over.
 */
export class IoThreads {
  /**
   * Resolves when no thread is left: the connection has ended, or `stop` was called and each has been woken.
   */
  readonly drained: Promise<void>;
  readonly #options: IoThreadsOptions;
  readonly #stopping = threadInts(1);
  readonly #muted = threadInts(1);
  readonly #flushing = threadInts(1);
  readonly #inFlight = new InFlight();
  readonly #workers = new Set<Worker>();
  /** The version of each node's image that the threads know. */
  readonly #told = new Map<number, number>();
  #resolveDrained: () => void = () => undefined;
  #connected = true;

  constructor(options: IoThreadsOptions) {
    this.#options = options;
    this.drained = new Promise((resolve) => {
      this.#resolveDrained = resolve;
    });
  }

  /** False once the kernel has said that the connection is gone. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Threads that are still there. */
  get readers(): number {
    return this.#workers.size;
  }

  start(): void {
    const { fd, threads, requestSize, onFault } = this.#options;
    const { memory: rhythm } = new FlushRhythm();
    for (let thread = 0; thread < threads; thread++) {
      const data: IoThreadData = {
        fd,
        thread,
        requestSize,
        stopping: this.#stopping,
        muted: this.#muted,
        flushing: this.#flushing,
        mostFlushing: threads - 1,
        rhythm,
      };
      const worker = startThread(import.meta.url, 'io-thread', data);
      this.#workers.add(worker);
      worker.on('message', (message: IoThreadMessage) => {
        this.#receive(message);
      });
      worker.on('error', onFault);
      worker.once('exit', () => {
        this.#workers.delete(worker);
        if (this.#workers.size === 0) this.#resolveDrained();
      });
    }
  }

  /** Threads end after their next request; they block until there is one. */
  stop(): void {
    Atomics.store(this.#stopping, 0, 1);
  }

  /**
   * From now on nothing is answered: what comes, and what is under way, is the next process's to answer. What
   * was answered before is done by now.
   */
  mute(): void {
    Atomics.store(this.#muted, 0, 1);
  }

  /** Every request that was handed over has its reply. */
  idle(): Promise<void> {
    return this.#inFlight.idle();
  }

  /** The kernel does not know the node any more. */
  forget(nodeId: number): void {
    if (this.#told.delete(nodeId)) this.#tell({ nodeId, image: undefined });
  }

  #receive(message: IoThreadMessage): void {
    switch (message.kind) {
      case 'request':
        this.#serve(message.request, this.#options.serve);
        return;
      case 'written':
        this.#serve(message.request, this.#options.serveWritten);
        return;
      case 'ask':
        this.#options.fileOf(message.nodeId)?.lookAfter?.();
        return;
      case 'disconnected':
        this.#connected = false;
        return;
      case 'fault':
        this.#options.onFault(new Error(message.message));
    }
  }

  #serve({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>, serve: Serve): void {
    const request = Buffer.from(buffer, byteOffset, length);
    this.#tellOf(nodeIdOf(request));
    const reply = serve(request);
    if (!(reply instanceof Promise)) {
      this.#finish(reply);
      return;
    }
    this.#inFlight.enter();
    void reply.then((later) => {
      this.#finish(later);
      this.#inFlight.leave();
    });
  }

  /** A request came here: perhaps only because the threads do not know how to serve its node. */
  #tellOf(nodeId: number): void {
    const image = this.#options.fileOf(nodeId)?.memory;
    if (image === undefined || this.#told.get(nodeId) === image.version) return;
    this.#told.set(nodeId, image.version);
    this.#tell({ nodeId, image });
    this.#tellOfOthers();
  }

  /** What describes a device of before keeps memory that nothing else needs. */
  #tellOfOthers(): void {
    for (const [nodeId, version] of this.#told) {
      const image = this.#options.fileOf(nodeId)?.memory;
      if (image === undefined || image.version === version) continue;
      this.#told.set(nodeId, image.version);
      this.#tell({ nodeId, image });
    }
  }

  #tell(news: NodeNews): void {
    for (const worker of this.#workers) worker.postMessage(news);
  }

  #finish(reply: Buffer | undefined): void {
    if (reply === undefined || Atomics.load(this.#muted, 0) !== 0) return;
    const { fd, buffers, onFault } = this.#options;
    try {
      writeSync(fd, reply);
    } catch (error) {
      // ENOENT: the request was interrupted or the connection ended, so no program waits for the answer.
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENODEV') onFault(error);
    }
    buffers.give(reply);
  }
}
