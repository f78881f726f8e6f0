import { chunkId, type ChunkId, type DeviceId } from '../format/ids.js';
import type { FreeRing } from '../threads/free-ring.js';
import { nap } from '../threads/request-epochs.js';
import type { Access, ChunkAccess } from '../store/chunk-access.js';
import { linesFor, type LogWriter } from '../store/log-writer.js';
import { isZero } from '../format/is-zero.js';
import { chunkOf, HOLE, SHARED, successor, UNKNOWN, type MappingTable } from './mapping-table.js';

/**
 * How far a request came. Whatever is not `done` needs the pool thread first, and goes on at `progress`:
 * `unknown`: the block's mapping was not read from the tree yet; `no-sheet`: it is a hole, and the table has
 * no word to map it with; `no-chunk`: the ring had no free chunk; `no-log`: the log has no room for it before
 * a commit; else as `Access`.
 */
export type Outcome = Access | 'unknown' | 'no-sheet' | 'no-chunk' | 'no-log';

/** An entry of the ring of free chunks with this bit is known to hold zeroes. */
export const ZEROED = 1 << 30;
const SPINS = 200;
/**
 * Bytes for which the log must have room at once; the kernel sends no more. And where it has but a line for
 * each chunk.
 */
const LOGGED_PIECE = 2 ** 20;
const PIECE = 16 * 2 ** 20;

/**
 * The data path of one device on one thread: provision, break sharing, overwrite (dm-thin.c, `process_bio`).
 * Threads meet only in the words of the table. The caller has entered the pool's RequestEpochs, so that no
 * chunk it sees is handed out again meanwhile.
 */
export class BlockPath {
  /** Bytes done when the last `read` or `write` returned. */
  progress = 0;
  /** The chunk that a `missing` is about. */
  missing: ChunkId | undefined;
  readonly #table: MappingTable;
  readonly #access: ChunkAccess;
  readonly #free: FreeRing;
  readonly #chunkSize: number;
  readonly #device: DeviceId;
  readonly #log: LogWriter | undefined;

  constructor(parts: {
    device: DeviceId;
    table: MappingTable;
    access: ChunkAccess;
    free: FreeRing;
    log: LogWriter | undefined;
  }) {
    this.#device = parts.device;
    this.#log = parts.log;
    this.#table = parts.table;
    this.#access = parts.access;
    this.#free = parts.free;
    this.#chunkSize = parts.access.chunkSize;
  }

  /** Fills `into` from `at` on with the bytes at `offset` of the device. @throws ThinError io, damaged */
  read(offset: number, into: Uint8Array, at: number, length: number): Outcome {
    this.progress = 0;
    while (this.progress < length) {
      const block = Math.floor((offset + this.progress) / this.#chunkSize);
      const within = offset + this.progress - block * this.#chunkSize;
      const word = this.#table.load(block);
      if (word === UNKNOWN) return 'unknown';
      const first = Math.min(this.#chunkSize - within, length - this.progress);
      const run = word === HOLE ? 1 : this.#run(block, word, first, length - this.progress, true);
      const bytes = Math.min(run * this.#chunkSize - within, length - this.progress);
      if (word === HOLE) into.fill(0, at + this.progress, at + this.progress + bytes);
      else {
        const outcome = this.#access.read(chunkOf(word), within, into, at + this.progress, bytes);
        // A mapping that changed meanwhile may have left its chunk to another device, which writes to it in
        // place.
        if (!this.#stillMapped(block, word, run)) continue;
        if (outcome !== 'done') return this.#stop(outcome, word);
      }
      this.progress += bytes;
    }
    return 'done';
  }

  /**
   * Writes `length` bytes of `from`, from `at` on, at `offset` of the device. @throws ThinError io, no-space
   */
  write(offset: number, from: Uint8Array, at: number, length: number): Outcome {
    this.progress = 0;
    if (this.#log === undefined) return this.#writeUntil(offset, from, at, length);
    const { isVolatile } = this.#access;
    const piece = isVolatile ? LOGGED_PIECE : Math.max(PIECE, this.#chunkSize);
    while (this.progress < length) {
      const bytes = Math.min(piece, length - this.progress);
      const lines = linesFor(isVolatile ? bytes : 0, Math.ceil(bytes / this.#chunkSize) + 1);
      if (!this.#log.reserve(lines)) return 'no-log';
      try {
        const outcome = this.#writeUntil(offset, from, at, this.progress + bytes);
        if (outcome !== 'done') return outcome;
      } finally {
        this.#log.release(lines);
      }
    }
    return 'done';
  }

  /** From `progress` on. */
  #writeUntil(offset: number, from: Uint8Array, at: number, length: number): Outcome {
    let spins = 0;
    while (this.progress < length) {
      const block = Math.floor((offset + this.progress) / this.#chunkSize);
      const within = offset + this.progress - block * this.#chunkSize;
      const first = Math.min(this.#chunkSize - within, length - this.progress);
      const word = this.#table.load(block);
      if (word === UNKNOWN) return 'unknown';
      if (word !== HOLE && (word & SHARED) === 0) {
        const run = this.#run(block, word, first, length - this.progress, false);
        const bytes = Math.min(run * this.#chunkSize - within, length - this.progress);
        const outcome = this.#access.overwrite(chunkOf(word), within, from, at + this.progress, bytes);
        if (outcome !== 'done') return this.#stop(outcome, word);
        this.progress += bytes;
        continue;
      }
      if (word === HOLE && isZero(from.subarray(at + this.progress, at + this.progress + first))) {
        this.progress += first;
        continue;
      }
      if (word === HOLE && !this.#table.hasSheet(block)) return 'no-sheet';
      if (!this.#table.tryLock(block, word)) {
        if (++spins > SPINS) nap();
        continue;
      }
      const outcome = this.#remap(block, word, within, from, at + this.progress, length - this.progress);
      if (outcome !== 'done') return this.#stop(outcome, word);
    }
    return 'done';
  }

  /** With the block locked; unlocks it whatever happens, and moves `progress` on. */
  #remap(block: number, word: number, within: number, from: Uint8Array, at: number, length: number): Outcome {
    const entry = this.#free.take();
    if (entry === undefined) {
      this.#table.unlock(block);
      return 'no-chunk';
    }
    const chunk = chunkId(entry & ~ZEROED);
    const bytes = Math.min(this.#chunkSize - within, length);
    let published = false;
    try {
      if (word === HOLE && bytes === this.#chunkSize && this.#access.contiguous) {
        this.#provisionRun(block, entry, from, at, length);
        published = true;
        return 'done';
      }
      const outcome =
        word === HOLE || bytes === this.#chunkSize
          ? this.#access.provision(chunk, within, from, at, bytes, (entry & ZEROED) !== 0)
          : this.#access.copy(chunkOf(word), chunk, within, from, at, bytes);
      if (outcome !== 'done') return outcome;
      if (this.#log !== undefined) {
        const origin = word === HOLE || bytes === this.#chunkSize ? undefined : chunkOf(word);
        this.#noteMapping(this.#log, block, chunk, origin, { within, from, at, length: bytes });
      }
      this.#table.publish(block, chunk);
      published = true;
      this.progress += bytes;
      return 'done';
    } finally {
      if (!published) {
        // Perhaps a part of it was written: it is not known to hold zeroes any more.
        this.#free.keep(chunk);
        this.#table.unlock(block);
      }
    }
  }

  /** Runs before any thread can look up the mapping and write to its chunk. */
  #noteMapping(
    log: LogWriter,
    block: number,
    chunk: ChunkId,
    origin: ChunkId | undefined,
    data: { within: number; from: Uint8Array; at: number; length: number },
  ): void {
    const part = this.#access.partOf(chunk);
    if (this.#access.isVolatile) log.mapWith(this.#device, block, chunk, origin, data);
    else if (part === undefined) log.map(this.#device, block, chunk, 1);
    else log.mapPartial(this.#device, block, chunk, part.backing, part.pages);
  }

  /**
   * As many whole blocks as are holes and find chunks side by side, with one write. The first is locked and
   * has its chunk; where this throws, it still is.
   */
  #provisionRun(block: number, entry: number, from: Uint8Array, at: number, length: number): void {
    const most = Math.floor(length / this.#chunkSize);
    const chunk = entry & ~ZEROED;
    let run = 1;
    for (; run < most; run++) {
      const start = at + run * this.#chunkSize;
      if (isZero(from.subarray(start, start + this.#chunkSize))) break;
      if (!this.#table.tryLock(block + run, HOLE)) break;
      if (this.#free.takeExactly((entry & ZEROED) | (chunk + run))) continue;
      this.#table.unlock(block + run);
      break;
    }
    const bytes = run * this.#chunkSize;
    let written = false;
    try {
      this.#access.provision(chunkId(chunk), 0, from, at, bytes, true);
      this.#log?.map(this.#device, block, chunk, run);
      written = true;
    } finally {
      for (let i = 0; i < run; i++) {
        if (written) this.#table.publish(block + i, chunkId(chunk + i));
        else if (i > 0) {
          this.#free.keep(chunk + i);
          this.#table.unlock(block + i);
        }
      }
    }
    this.progress += bytes;
  }

  /**
   * Blocks from this one on, within `length` bytes of which the first block has `first`, whose chunks lie
   * side by side, so that one access serves them all; for a write, as long as they are the device's own.
   */
  #run(block: number, word: number, first: number, length: number, shared: boolean): number {
    let run = 1;
    if (!this.#access.contiguous) return run;
    const mask = shared ? ~SHARED : -1;
    for (let expected = word, done = first; done < length; done += this.#chunkSize, run++) {
      expected = successor(expected);
      if ((this.#table.load(block + run) & mask) !== (expected & mask)) break;
      if (this.#access.isAway(chunkOf(expected))) break;
    }
    return run;
  }

  #stillMapped(block: number, word: number, run: number): boolean {
    for (let i = 0, expected = word; i < run; i++, expected = successor(expected))
      if ((this.#table.load(block + i) & ~SHARED) !== (expected & ~SHARED)) return false;
    return true;
  }

  #stop(outcome: Outcome, word: number): Outcome {
    this.missing = outcome === 'missing' ? chunkOf(word) : undefined;
    return outcome;
  }
}
