import type { ChunkId } from '../format/ids.js';

/** Reads of the store at once. Of libuv's threads most stay free for commits and syncs. */
const AT_ONCE = 6;

/** What the store has of a chunk. */
export interface LoadedChunk {
  readonly data: Uint8Array;
  /** Pages that a patch of its whole value has. */
  readonly patched: number;
}

export interface ChunkLoadsParts {
  readonly read: (chunk: ChunkId) => Promise<LoadedChunk>;
  /** Puts it into memory; a promise where there is no room before that resolves. */
  readonly place: (chunk: ChunkId, loaded: LoadedChunk) => Promise<void> | undefined;
}

/** One read; `isCurrent` as long as the chunk is still the one that it was begun for. */
interface Load {
  isCurrent: boolean;
  done: Promise<void>;
}

/**
 * Chunks on their way from the store into memory: each is read once, however many ask for it, and few at a
 * time. The pool thread does other work meanwhile. Pool thread only.
 */
export class ChunkLoads {
  readonly #parts: ChunkLoadsParts;
  readonly #loads = new Map<ChunkId, Load>();
  #reading = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(parts: ChunkLoadsParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when the chunk is in memory, or is another one since: the caller looks again. Errors: damaged
   * (missing or not as written), wrong-version, io.
   */
  bring(chunk: ChunkId): Promise<void> {
    const under = this.#loads.get(chunk);
    if (under !== undefined) return under.done;
    const load: Load = { isCurrent: true, done: Promise.resolve() };
    this.#loads.set(chunk, load);
    load.done = this.#run(chunk, load);
    return load.done;
  }

  /** Nothing maps the chunk any more: what is on its way of it goes nowhere. */
  forget(chunk: ChunkId): void {
    const load = this.#loads.get(chunk);
    if (load === undefined) return;
    load.isCurrent = false;
    this.#loads.delete(chunk);
  }

  /** No caller asks any more. */
  end(): void {
    for (const chunk of [...this.#loads.keys()]) this.forget(chunk);
  }

  async #run(chunk: ChunkId, load: Load): Promise<void> {
    if (this.#reading >= AT_ONCE) await new Promise<void>((begin) => this.#waiting.push(begin));
    else this.#reading++;
    try {
      const loaded = await this.#parts.read(chunk);
      let noRoom: Promise<void> | undefined;
      while (load.isCurrent && (noRoom = this.#parts.place(chunk, loaded)) !== undefined) await noRoom;
    } catch (error) {
      // A commit may delete what nothing maps any more.
      if (load.isCurrent) throw error;
    } finally {
      if (load.isCurrent) this.#loads.delete(chunk);
      const next = this.#waiting.shift();
      if (next === undefined) this.#reading--;
      else next();
    }
  }
}
