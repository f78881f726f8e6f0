import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { ThinError } from '../errors/thin-error.js';
import { startThread } from '../threads/start-thread.js';

export interface StructureRequest {
  readonly path: string;
  /** One word: 0 while nobody waits for the result. */
  readonly hurry: Int32Array;
}

export type StructureResult =
  { readonly kind: 'well' } | { readonly kind: 'damaged' | 'failed'; readonly message: string };

/**
 * Looks at the structure of every block in the tables of a store, in a thread that works a fifth of the time:
 * so that a compaction, which reads what nobody asked for, meets none that ends the process. Of a block of
 * chunks it reads the ends, about a sixteenth.
 */
export class StructureCheck {
  readonly #path: string;
  readonly #hurry = new Int32Array(new SharedArrayBuffer(4));
  #thread: Worker | undefined;
  #result: Promise<ThinError | undefined> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined: all tables that were there at the start are well. Idempotent. Never rejects. */
  run(): Promise<ThinError | undefined> {
    return (this.#result ??= this.#run());
  }

  /** As `run`, without rests from now on. */
  hurry(): Promise<ThinError | undefined> {
    Atomics.store(this.#hurry, 0, 1);
    Atomics.notify(this.#hurry, 0);
    return this.run();
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate();
  }

  async #run(): Promise<ThinError | undefined> {
    const request: StructureRequest = { path: this.#path, hurry: this.#hurry };
    const thread = startThread(import.meta.url, 'level-structure-thread', request);
    this.#thread = thread;
    thread.unref();
    const ended = once(thread, 'exit').then((): StructureResult => ({
      kind: 'failed',
      message: 'the thread that looks at the tables ended early',
    }));
    const told = once(thread, 'message').then(([message]) => message as StructureResult);
    // What cannot be read now is found when it is needed.
    const result = await Promise.race([told, ended]).catch((error: unknown): StructureResult => ({
      kind: 'failed',
      message: String(error),
    }));
    this.#thread = undefined;
    await thread.terminate();
    return result.kind === 'damaged' ? new ThinError('damaged', result.message) : undefined;
  }
}
