import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { ThinError } from '../errors/thin-error.js';
import { startThread } from '../threads/start-thread.js';
import type { CodecAnswer, CodecReply, CodecTask, CodecThreadData } from './codec-protocol.js';
import type { Digest } from './digest.js';

const MOST_THREADS = 8;

interface Waiting {
  readonly task: CodecTask;
  readonly resolve: (answer: CodecAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Names, compresses, encrypts and verifies blocks on other threads, so that the caller can work meanwhile.
 */
export class CodecPool {
  readonly #threads: Thread[];
  readonly #waiting: Waiting[] = [];

  /** @param threads at most; default: as many as there are processors, up to 8 */
  constructor(key: Uint8Array | undefined, threads = Math.min(MOST_THREADS, availableParallelism())) {
    const data: CodecThreadData = { key };
    this.#threads = Array.from({ length: threads }, () => new Thread(data, () => this.#next()));
  }

  /** How many tasks are worked on at a time. */
  get width(): number {
    return this.#threads.length;
  }

  /** @param bytes whole blocks; a buffer of their own is handed over and comes back */
  async name(
    bytes: Uint8Array,
  ): Promise<{ readonly names: readonly (Digest | undefined)[]; readonly bytes: Uint8Array }> {
    const { names = [], bytes: back } = await this.#run({ kind: 'name', bytes: owned(bytes) });
    return { names, bytes: back! };
  }

  /** Blocks of `bytes` as they lie in packs. */
  async encode(
    bytes: Uint8Array,
    blocks: readonly { readonly at: number; readonly name: Digest }[],
  ): Promise<readonly Uint8Array[]> {
    return (await this.#run({ kind: 'encode', bytes, blocks })).stored!;
  }

  /** The blocks one after the other, each the one of its name. Errors: damaged. */
  async decode(
    blocks: readonly { readonly stored: Uint8Array; readonly name: Digest; readonly path: string }[],
  ): Promise<Uint8Array> {
    return (await this.#run({ kind: 'decode', blocks })).bytes!;
  }

  /** @param bytes as `name` */
  async digest(bytes: Uint8Array): Promise<{ readonly digest: Digest; readonly bytes: Uint8Array }> {
    const { digest, bytes: back } = await this.#run({ kind: 'digest', bytes: owned(bytes) });
    return { digest: digest!, bytes: back! };
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #run(task: CodecTask): Promise<CodecAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (thread.isBusy) continue;
      const waiting = this.#waiting.shift();
      if (waiting === undefined) return;
      thread.run(waiting);
    }
  }
}

/** One task at a time. */
class Thread {
  readonly #worker: Worker;
  #running: Waiting | undefined;
  #failure: ThinError | undefined;

  constructor(data: CodecThreadData, onFree: () => void) {
    this.#worker = startThread(import.meta.url, 'codec-thread', data);
    this.#worker.unref();
    this.#worker.on('message', (reply: CodecReply) => {
      const running = this.#running;
      this.#running = undefined;
      this.#worker.unref();
      if ('answer' in reply) running?.resolve(reply.answer);
      else running?.reject(new ThinError(reply.failure.code, reply.failure.message));
      onFree();
    });
    this.#worker.on('error', (error) => {
      this.#failure = new ThinError('internal', 'a thread that packs blocks has failed', { cause: error });
      this.#running?.reject(this.#failure);
      this.#running = undefined;
      onFree();
    });
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  run(waiting: Waiting): void {
    if (this.#failure !== undefined) {
      waiting.reject(this.#failure);
      return;
    }
    this.#running = waiting;
    // A process does not end before what it waits for.
    this.#worker.ref();
    this.#worker.postMessage(waiting.task, transferred(waiting.task));
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

function transferred(task: CodecTask): ArrayBuffer[] {
  return task.kind === 'name' || task.kind === 'digest' ? [task.bytes.buffer as ArrayBuffer] : [];
}

/** What shares its buffer with something else cannot be moved. */
function owned(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength === bytes.length ? bytes : new Uint8Array(bytes);
}
