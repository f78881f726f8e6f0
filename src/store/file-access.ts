import { fdatasyncSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { chunkBackingKey, describeKey } from '../format/keys.js';
import { DirtyMap, threadInts } from '../threads/dirty-map.js';
import { lock, unlock } from '../threads/spin-lock.js';
import type { Access, ChunkAccess } from './chunk-access.js';
import { dataSyncMemory, DataSyncs, type DataSyncMemory } from './data-syncs.js';
import type { LogWriter } from './log-writer.js';
import { areFew, pagesOf, pageSize } from './pages.js';
import { DAMAGED, lockOf, partialMemory, REMOTE, WHOLE, type PartialMemory } from './partial-memory.js';

export interface FileMemory {
  readonly kind: 'file';
  readonly chunkSize: number;
  /** Bytes before the first chunk. */
  readonly start: number;
  /** Descriptors belong to the process, so that its threads share them. */
  readonly fd: number;
  readonly syncs: DataSyncMemory;
  /**
   * One word: what a sync on another thread than the pool's met (-errno); the kernel tells a descriptor once.
   */
  readonly failed: Int32Array;
  readonly partial: PartialMemory;
}

/** @param chunks that the pool can have */
export function fileMemory(
  fd: number,
  { chunkSize, chunks, start }: { chunkSize: number; chunks: number; start: number },
): FileMemory {
  return {
    kind: 'file',
    chunkSize,
    start,
    fd,
    syncs: dataSyncMemory(),
    failed: threadInts(1),
    partial: partialMemory(chunks),
  };
}

/**
 * Chunks in a file or on a block device, each at its number times its size behind the start. Knows no cache
 * but the kernel's. A copy in which little is changed is partial: it gets the changed pages, and the others
 * are read from its backing.
 */
export class FileAccess implements ChunkAccess {
  readonly chunkSize: number;
  readonly contiguous = true;
  readonly isVolatile = false;
  readonly #log: LogWriter | undefined;
  readonly #memory: FileMemory;
  readonly #partial: PartialMemory;
  readonly #dirty: DirtyMap;
  readonly #syncs: DataSyncs;
  readonly #page: number;
  readonly #allPages: number;
  readonly #scratch: Buffer;

  constructor(memory: FileMemory, log?: LogWriter) {
    this.#log = log;
    this.#memory = memory;
    this.#partial = memory.partial;
    this.#dirty = new DirtyMap(memory.partial.dirty);
    this.chunkSize = memory.chunkSize;
    this.#syncs = new DataSyncs(memory.syncs);
    this.#page = pageSize(memory.chunkSize);
    this.#allPages = pagesOf(0, memory.chunkSize, this.#page);
    this.#scratch = Buffer.allocUnsafeSlow(memory.chunkSize);
  }

  isAway(chunk: number): boolean {
    return Atomics.load(this.#partial.backings, chunk) === REMOTE;
  }

  read(chunk: ChunkId, within: number, into: Uint8Array, at: number, length: number): Access {
    if (this.isAway(chunk)) return 'missing';
    this.#eachPart(chunk, within, length, (part, offset, from, bytes) => {
      const backing = this.#backingOf(part);
      if (backing === undefined) this.#read(into, at + from, bytes, this.#placeOf(part) + offset);
      else this.#readPartial(part, backing, offset, into, at + from, bytes);
    });
    return 'done';
  }

  overwrite(chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): Access {
    if (this.isAway(chunk)) return 'missing';
    this.#eachPart(chunk, within, length, (part, offset, done, bytes) => {
      if (this.#has(part, pagesOf(offset, bytes, this.#page)))
        this.#write(from, at + done, bytes, this.#placeOf(part) + offset);
      else this.#addPages(part, offset, from, at + done, bytes);
    });
    return 'done';
  }

  provision(
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
    zeroed: boolean,
  ): Access {
    const start = this.#placeOf(chunk);
    if (zeroed || length >= this.chunkSize) {
      this.#write(from, at, length, start + within);
      return 'done';
    }
    this.#scratch.fill(0);
    this.#scratch.set(from.subarray(at, at + length), within);
    this.#write(this.#scratch, 0, this.chunkSize, start);
    return 'done';
  }

  copy(
    origin: ChunkId,
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): Access {
    const { backings, pages } = this.#partial;
    if (this.isAway(origin)) return 'missing';
    const backing = this.#backingOf(origin);
    const inherited = backing === undefined ? 0 : Atomics.load(pages, origin);
    const own = inherited | pagesOf(within, length, this.#page);
    if (!areFew(own, this.#allPages)) {
      if (length < this.chunkSize) this.read(origin, 0, this.#scratch, 0, this.chunkSize);
      this.#scratch.set(from.subarray(at, at + length), within);
      this.#write(this.#scratch, 0, this.chunkSize, this.#placeOf(chunk));
      return 'done';
    }
    this.#copyPages(origin, chunk, inherited);
    this.#writePages(origin, chunk, within, from, at, length, own);
    Atomics.store(pages, chunk, own);
    Atomics.store(backings, chunk, (backing ?? origin) + 1);
    this.#changed(chunk);
    return 'done';
  }

  partOf(chunk: ChunkId): { readonly backing: ChunkId; readonly pages: number } | undefined {
    const backing = this.#backingOf(chunk);
    return backing === undefined ? undefined : { backing, pages: Atomics.load(this.#partial.pages, chunk) };
  }

  /** Restores what a dead process knew of a chunk that no thread can look up yet. */
  restorePart(chunk: ChunkId, backing: ChunkId, pages: number): void {
    Atomics.store(this.#partial.pages, chunk, pages);
    Atomics.store(this.#partial.backings, chunk, backing + 1);
    this.#changed(chunk);
  }

  /** As `restorePart`, of pages that came to a chunk which may be partial. */
  restorePages(chunk: ChunkId, pages: number): void {
    if (this.#backingOf(chunk) === undefined) return;
    Atomics.or(this.#partial.pages, chunk, pages);
    this.#changed(chunk);
  }

  /** The bytes of a remote chunk, whole. Before anybody can change them, the log has that they are here. */
  land(chunk: ChunkId, bytes: Uint8Array): void {
    this.#write(bytes, 0, this.chunkSize, this.#placeOf(chunk));
    this.#log?.fetched(chunk);
    this.noteHere(chunk);
  }

  /** What a remote chunk holds is in the data. */
  noteHere(chunk: ChunkId): void {
    Atomics.store(this.#partial.backings, chunk, WHOLE);
    this.#changed(chunk);
  }

  /** Gives a partial chunk all of its pages. */
  fill(chunk: ChunkId): void {
    const { locks, pages } = this.#partial;
    const backing = this.#backingOf(chunk);
    if (backing === undefined) return;
    lock(locks, lockOf(chunk));
    try {
      this.#copyPages(backing, chunk, this.#allPages & ~Atomics.load(pages, chunk));
      this.#log?.pages(chunk, this.#allPages);
      Atomics.store(pages, chunk, this.#allPages);
    } finally {
      unlock(locks, lockOf(chunk));
    }
    this.#changed(chunk);
  }

  /** No chunk has got pages that no commit has seen. */
  get isSettled(): boolean {
    return Atomics.load(this.#partial.changed, 0) === 0;
  }

  /**
   * Makes what was written before durable, though not where it belongs. False where it failed, which the next
   * commit then meets.
   */
  sync(): boolean {
    const { fd, failed } = this.#memory;
    if (Atomics.load(failed, 0) !== 0) return false;
    const { written } = this.#syncs;
    if (this.awaitSync(written)) return true;
    // The failure stands before followers wake: the kernel would tell them of none.
    const { underWay } = this.#syncs;
    underWay.lead(written, () => {
      underWay.run(() => {
        try {
          fdatasyncSync(fd);
        } catch (error) {
          noteFailure(this.#memory, error);
        }
      });
      if (Atomics.load(failed, 0) === 0) this.#syncs.noteSynced(written);
    });
    return Atomics.load(failed, 0) === 0;
  }

  /**
   * Whether so many writes are durable; waits for a sync of another thread that makes them so.
   * @param patience the most to wait, in milliseconds
   */
  awaitSync(written = this.#syncs.written, patience?: number): boolean {
    if (this.#syncs.synced < written) this.#syncs.underWay.follow(written, patience);
    return this.#syncs.synced >= written && Atomics.load(this.#memory.failed, 0) === 0;
  }

  #changed(chunk: ChunkId): void {
    this.#dirty.mark(chunk);
    Atomics.store(this.#partial.changed, 0, 1);
  }

  /** The range cut where one system call would not do: at the ends of partial chunks. */
  #eachPart(
    chunk: ChunkId,
    within: number,
    length: number,
    visit: (chunk: ChunkId, within: number, done: number, bytes: number) => void,
  ): void {
    const { backings } = this.#partial;
    for (let done = 0; done < length;) {
      const part = Math.floor((within + done) / this.chunkSize);
      const offset = within + done - part * this.chunkSize;
      let bytes = this.chunkSize - offset;
      if (Atomics.load(backings, chunk + part) === WHOLE)
        for (let next = chunk + part + 1; bytes < length - done; bytes += this.chunkSize, next++)
          if (Atomics.load(backings, next) !== WHOLE) break;
      bytes = Math.min(bytes, length - done);
      visit(chunkId(chunk + part), offset, done, bytes);
      done += bytes;
    }
  }

  #placeOf(chunk: number): number {
    return this.#memory.start + chunk * this.chunkSize;
  }

  /** @throws ThinError damaged */
  #backingOf(chunk: ChunkId): ChunkId | undefined {
    const word = Atomics.load(this.#partial.backings, chunk);
    if (word === WHOLE || word === REMOTE) return undefined;
    if (word !== DAMAGED) return chunkId(word - 1);
    const path = describeKey(chunkBackingKey(chunk));
    throw new ThinError('damaged', `${path}: it cannot be read; see thinfuse check`, { details: { path } });
  }

  #has(chunk: ChunkId, pages: number): boolean {
    return this.#backingOf(chunk) === undefined || (pages & ~Atomics.load(this.#partial.pages, chunk)) === 0;
  }

  #readPartial(
    chunk: ChunkId,
    backing: ChunkId,
    within: number,
    into: Uint8Array,
    at: number,
    length: number,
  ): void {
    // Behind the backing, which stands as long as some page is missing.
    const own = Atomics.load(this.#partial.pages, chunk);
    for (let done = 0; done < length;) {
      const first = Math.floor((within + done) / this.#page);
      const isOwn = ((own >>> first) & 1) === 1;
      let end = first + 1;
      while (end * this.#page < within + length && (((own >>> end) & 1) === 1) === isOwn) end++;
      const bytes = Math.min(end * this.#page - within, length) - done;
      this.#read(into, at + done, bytes, this.#placeOf(isOwn ? chunk : backing) + within + done);
      done += bytes;
    }
  }

  /**
   * Writes where some pages are still the backing's. Only such writers wait for each other, and each page is
   * brought once.
   */
  #addPages(chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): void {
    const { locks, pages } = this.#partial;
    const touched = pagesOf(within, length, this.#page);
    lock(locks, lockOf(chunk));
    try {
      const backing = this.#backingOf(chunk);
      const missing = backing === undefined ? 0 : touched & ~Atomics.load(pages, chunk);
      this.#writePages(backing ?? chunk, chunk, within, from, at, length, missing);
      if (missing === 0) return;
      // Before others find them there, and write to them without a word.
      this.#log?.pages(chunk, touched);
      Atomics.or(pages, chunk, touched);
    } finally {
      unlock(locks, lockOf(chunk));
    }
    this.#changed(chunk);
  }

  /**
   * Writes the range, and around it what makes those of its pages whole that are in `missing`, from `source`.
   */
  #writePages(
    source: ChunkId,
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
    missing: number,
  ): void {
    const end = within + length;
    const first = Math.floor(within / this.#page);
    const last = Math.floor((end - 1) / this.#page);
    const begin = ((missing >>> first) & 1) === 1 ? first * this.#page : within;
    const stop = ((missing >>> last) & 1) === 1 ? (last + 1) * this.#page : end;
    const start = this.#placeOf(chunk);
    if (begin === within && stop === end) {
      this.#write(from, at, length, start + within);
      return;
    }
    if (begin < within) this.read(source, begin, this.#scratch, begin, within - begin);
    if (end < stop) this.read(source, end, this.#scratch, end, stop - end);
    this.#scratch.set(from.subarray(at, at + length), within);
    this.#write(this.#scratch, begin, stop - begin, start + begin);
  }

  #copyPages(from: ChunkId, to: ChunkId, pages: number): void {
    for (let page = 0; page * this.#page < this.chunkSize; page++) {
      if (((pages >>> page) & 1) === 0) continue;
      const within = page * this.#page;
      this.#read(this.#scratch, within, this.#page, this.#placeOf(from) + within);
      this.#write(this.#scratch, within, this.#page, this.#placeOf(to) + within);
    }
  }

  #read(into: Uint8Array, at: number, length: number, position: number): void {
    this.#guard(() => {
      const { fd } = this.#memory;
      for (let done = 0; done < length;) {
        const got = readSync(fd, into, at + done, length - done, position + done);
        if (got === 0)
          throw new ThinError('damaged', `the pool's data ends before byte ${position + length}`);
        done += got;
      }
    });
  }

  #write(from: Uint8Array, at: number, length: number, position: number): void {
    this.#guard(() => {
      const { fd } = this.#memory;
      try {
        for (let done = 0; done < length;) {
          const put = writeSync(fd, from, at + done, length - done, position + done);
          if (put === 0) throw new ThinError('io', "the pool's data device took only a part of a write");
          done += put;
        }
      } finally {
        // Behind the write: a sync that began before may have missed it.
        this.#syncs.noteWritten();
      }
    });
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw dataError(error);
    }
  }
}

/** No sync of the data counts any more. */
export function noteFailure({ failed }: FileMemory, error: unknown): void {
  const { errno } = error as NodeJS.ErrnoException;
  Atomics.compareExchange(failed, 0, 0, errno ?? -constants.errno.EIO);
}

/** The error that a sync on any thread met, if any. */
export function failureOf({ failed }: FileMemory): ThinError | undefined {
  const errno = Atomics.load(failed, 0);
  if (errno === 0) return undefined;
  const code = getSystemErrorName(errno);
  return dataError(Object.assign(new Error(`fdatasync: ${code}`), { code }));
}

/** The error for a failed system call on the data file. */
export function dataError(error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const code = systemErrorCode(error);
  const options = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ThinError(
      'no-space',
      "the disk of the pool's data file is full; make room on the host, then go on",
      options,
    );
  if (code === 'EROFS')
    return new ThinError(
      'read-only',
      "the disk of the pool's data file is mounted read-only: look for why in the kernel log (dmesg), and mount it for writing",
      options,
    );
  return new ThinError('io', `the pool's data cannot be read or written: ${String(error)}`, options);
}
