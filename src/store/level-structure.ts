import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { ThinError } from '../errors/thin-error.js';
import { startThread } from '../threads/start-thread.js';
import type { KvRange } from './key-value.js';

export interface StructureThreadData {
  readonly path: string;
  /** One word: 0 while no caller waits for the result. */
  readonly hurry: Int32Array;
}

/**
 * Which tables are looked at: all; those that LevelDB may compact by itself while it takes in so many bytes;
 * those that a compaction of a range reads, or one of a table.
 */
export type StructureRequest =
  | { readonly kind: 'all' }
  | { readonly kind: 'due'; readonly incoming: number }
  | { readonly kind: 'range'; readonly range: KvRange }
  | { readonly kind: 'table'; readonly number: number };

export type StructureResult =
  | { readonly kind: 'well' }
  | { readonly kind: 'damaged'; readonly message: string; readonly table: number }
  | { readonly kind: 'failed'; readonly message: string };

/** The last look at tables that are due. */
interface Due {
  readonly endedAt: number;
  readonly took: number;
  /** Bytes since; below 0: so many may come before it counts. */
  written: number;
  readonly found: SpoiledTable | undefined;
}

/** A table in which LevelDB would end the process. */
export interface SpoiledTable {
  readonly number: number;
  readonly error: ThinError;
}

/** Milliseconds without a request after which the thread ends. */
const IDLE = 30_000;
/** What is looked at is at most so old, milliseconds, or so many times as old as a look takes. */
const OLDEST = 1000;
const SHARE = 10;

/**
 * Looks at the structure of blocks in the tables of a store, in a thread, so that a compaction, which reads
 * tables without a request, meets none that ends the process. Of a block of chunks it reads the ends, about a
 * sixteenth.
 */
export class StructureCheck {
  readonly #path: string;
  readonly #hurry = new Int32Array(new SharedArrayBuffer(4));
  #thread: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #all: Promise<SpoiledTable | undefined> | undefined;
  #due: Due = { endedAt: -Infinity, took: 0, written: 0, found: undefined };
  #ahead: Promise<void> | undefined;
  #stopped = false;
  /** Callers, for whom the process goes on; the look at all tables holds nothing up. */
  #waiting = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * All tables that are there at the first call, once, in a fifth of a processor. Undefined: they are well.
   * Errors of this and all others: io, where the tables cannot be looked at.
   */
  all(): Promise<SpoiledTable | undefined> {
    this.#all ??= this.#look({ kind: 'all' }).catch((error: unknown) => {
      this.#all = undefined;
      throw error;
    });
    return this.#all;
  }

  /**
   * Before a write after which LevelDB may compact: tables that it may take then, looked at a moment ago, and
   * not before half a write buffer.
   * @param written bytes since the last call
   */
  async due(written: number, writeBufferSize: number): Promise<SpoiledTable | undefined> {
    await this.#ahead;
    this.#due.written += written;
    const { endedAt, took, found } = this.#due;
    const isFresh = performance.now() - endedAt < Math.max(OLDEST, SHARE * took);
    if (isFresh && this.#due.written < writeBufferSize / 2) return found;
    return this.#lookDue(0, writeBufferSize);
  }

  /**
   * Begins the look that a next write of as many bytes would have to wait for, if it would. A failure shows
   * when that write looks again.
   */
  lookAhead(next: number, writeBufferSize: number): void {
    if (this.#due.written + next < writeBufferSize / 2) return;
    this.#ahead ??= this.#lookDue(next, writeBufferSize).then(
      () => (this.#ahead = undefined),
      () => (this.#ahead = undefined),
    );
  }

  /** @param next bytes of a write that is to need no look of its own */
  async #lookDue(next: number, writeBufferSize: number): Promise<SpoiledTable | undefined> {
    const began = performance.now();
    const found = await this.#now({ kind: 'due', incoming: 2 * writeBufferSize + next });
    this.#due = { endedAt: performance.now(), took: performance.now() - began, written: -next, found };
    return found;
  }

  /** Before a compaction that a caller asks for. */
  range(range: KvRange): Promise<SpoiledTable | undefined> {
    return this.#now({ kind: 'range', range });
  }

  /** Before LevelDB compacts a table because it was read often. */
  table(number: number): Promise<SpoiledTable | undefined> {
    return this.#now({ kind: 'table', number });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#idle);
    await this.#thread?.terminate();
  }

  /** Without rests, and before it all that were there at the start. */
  async #now(request: StructureRequest): Promise<SpoiledTable | undefined> {
    Atomics.store(this.#hurry, 0, 1);
    Atomics.notify(this.#hurry, 0);
    this.#waiting++;
    this.#thread?.ref();
    try {
      return (await this.all()) ?? (await this.#look(request));
    } finally {
      if (--this.#waiting === 0) this.#thread?.unref();
    }
  }

  #look(request: StructureRequest): Promise<SpoiledTable | undefined> {
    const looked = this.#last.then(async () => {
      let result = await this.#ask(request);
      // Once more, in another thread.
      if (result.kind === 'failed') result = await this.#ask(request);
      if (result.kind === 'well') return undefined;
      if (result.kind === 'damaged')
        return { number: result.table, error: new ThinError('damaged', result.message) };
      throw new ThinError(
        'io',
        `the tables of the store ${this.#path} cannot be verified before LevelDB reads them: ${result.message}`,
      );
    });
    this.#last = looked.catch(() => undefined);
    return looked;
  }

  async #ask(request: StructureRequest): Promise<StructureResult> {
    if (this.#stopped) return { kind: 'well' };
    clearTimeout(this.#idle);
    const thread = (this.#thread ??= this.#start());
    const over = new AbortController();
    const ended = once(thread, 'exit', over).then((): StructureResult => ({
      kind: 'failed',
      message: 'the thread that looks at them ended early',
    }));
    const told = once(thread, 'message', over).then(([message]) => message as StructureResult);
    thread.postMessage(request);
    const result = await Promise.race([told, ended]).catch((error: unknown): StructureResult => ({
      kind: 'failed',
      message: String(error),
    }));
    ended.catch(() => undefined);
    told.catch(() => undefined);
    over.abort();
    if (result.kind === 'failed') await this.#end();
    else this.#idle = setTimeout(() => void this.#end(), IDLE).unref();
    return result;
  }

  #start(): Worker {
    const data: StructureThreadData = { path: this.#path, hurry: this.#hurry };
    const thread = startThread(import.meta.url, 'level-structure-thread', data);
    if (this.#waiting === 0) thread.unref();
    return thread;
  }

  async #end(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.terminate();
  }
}
