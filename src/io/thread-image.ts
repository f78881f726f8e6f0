import { FreeRing } from '../threads/free-ring.js';
import { FirstReads } from '../threads/first-reads.js';
import { RequestEpochs } from '../threads/request-epochs.js';
import { Traffic, type TrafficKind } from '../threads/traffic.js';
import { CacheAccess } from '../store/cache-access.js';
import { FileAccess } from '../store/file-access.js';
import type { DeviceId } from '../format/ids.js';
import { LogWords, type LogMemory } from '../store/log-memory.js';
import { LogWriter } from '../store/log-writer.js';
import { pauseFor } from './back-pressure.js';
import { BlockPath } from './block-path.js';
import { areSettled, fullness, shouldAsk, type PlaneMemory } from './data-plane.js';
import { MappingTable, type TableMemory } from './mapping-table.js';

/** Words of `ImageMemory.control`. */
export const GATE = 0;
export const VERSION = 1;
export const TOUCHED = 2;

/** Milliseconds that a thread waits for the sync of another before it leaves an fsync to the pool thread. */
const PATIENCE = 2;

/** Values of the gate: what a thread may do by itself. */
export const OPEN = 0;
export const READ_ONLY = 1;
export const SHUT = 2;

/**
 * What another thread of the process needs to serve an active device; can be sent to it. It holds as long as
 * the word VERSION of `control` is its version: a snapshot or a change of size replaces the table. `control`
 * itself is never replaced.
 */
export interface ImageMemory {
  readonly device: DeviceId;
  readonly version: number;
  readonly size: number;
  readonly control: Int32Array;
  readonly table: TableMemory;
  readonly plane: PlaneMemory;
  /** Of this device (`Traffic`). */
  readonly traffic: Float64Array;
  /** `FirstReads`. */
  readonly firstReads: Int32Array;
}

/**
 * One active device as a thread other than the pool's sees it: what it cannot do at once and by itself, it
 * leaves to the pool thread.
 */
export class ThreadImage {
  readonly size: number;
  readonly #thread: number;
  readonly #memory: ImageMemory;
  readonly #path: BlockPath;
  readonly #epochs: RequestEpochs;
  readonly #free: FreeRing;
  readonly #table: MappingTable;
  readonly #access: FileAccess | CacheAccess;
  readonly #traffic: readonly Traffic[];
  readonly #firstReads: FirstReads;
  readonly #log: LogWriter | undefined;
  readonly #logWords: LogWords | undefined;

  /** @param thread its number among those that serve the pool, from 0 */
  constructor(memory: ImageMemory, thread: number) {
    const { chunks, free, epochs, log: words } = memory.plane;
    const log = words === undefined ? undefined : writerOf(words);
    this.#log = log;
    this.#logWords = words === undefined ? undefined : new LogWords(words);
    this.size = memory.size;
    this.#thread = thread;
    this.#memory = memory;
    this.#epochs = new RequestEpochs(epochs);
    this.#free = new FreeRing(free);
    this.#traffic = [new Traffic(memory.traffic), new Traffic(memory.plane.traffic)];
    this.#firstReads = new FirstReads(memory.firstReads);
    this.#table = new MappingTable(memory.table);
    this.#access = chunks.kind === 'file' ? new FileAccess(chunks, log) : new CacheAccess(chunks, log);
    this.#path = new BlockPath({
      device: memory.device,
      table: this.#table,
      access: this.#access,
      free: this.#free,
      log,
    });
  }

  /** False: another description of the device is in force, and this one must not be used any more. */
  get isCurrent(): boolean {
    return Atomics.load(this.#memory.control, VERSION) === this.#memory.version;
  }

  /** False: the pool thread must do it, all of it. A range inside the device. */
  read(offset: number, into: Uint8Array, at: number, length: number): boolean {
    const isDone = this.#counted('read', length, () =>
      this.#within(SHUT, () => this.#path.read(offset, into, at, length) === 'done'),
    );
    if (isDone) this.#firstReads.noteRead(offset, length, this.#access.chunkSize);
    return isDone;
  }

  /** As `read`; what of it was written already may be written again. */
  write(offset: number, from: Uint8Array, at: number, length: number): boolean {
    const isDone = this.#counted('write', length, () =>
      this.#within(READ_ONLY, () => {
        if (Atomics.load(this.#memory.control, TOUCHED) === 0)
          Atomics.store(this.#memory.control, TOUCHED, 1);
        return this.#path.write(offset, from, at, length) === 'done';
      }),
    );
    if (isDone) this.#firstReads.noteWritten(offset, length, this.#access.chunkSize);
    return isDone;
  }

  /** As `read`: true where everything that was answered before is durable. Waits for the disk. */
  flush(): boolean {
    return this.#counted('flush', 0, () => this.#makeDurable());
  }

  /** As `flush`; waits for a sync that another thread has begun, for a moment, and begins none. */
  awaitFlush(): boolean {
    return this.#counted('flush', 0, () => this.#within(READ_ONLY, () => true) && this.#awaitDurable());
  }

  /** Does the work of a flush that is expected. Waits for the disk. */
  flushAhead(): void {
    this.#makeDurable();
  }

  #makeDurable(): boolean {
    const access = this.#access;
    const log = this.#log;
    if (log?.isOn === true)
      return (
        this.#within(READ_ONLY, () => true) &&
        (access instanceof FileAccess ? flushData(access, log) : log.sync())
      );
    if (!(access instanceof FileAccess)) return false;
    // In this order: what a commit takes from the device is unsettled before it is gone from there.
    const needsNoCommit = (): boolean =>
      this.#table.dirtyCount === 0 && access.isSettled && areSettled(this.#memory.plane);
    // Outside of the request's epoch, which others would have to wait for.
    return this.#within(READ_ONLY, needsNoCommit) && access.sync();
  }

  #awaitDurable(): boolean {
    const log = this.#log;
    if (log?.isOn !== true) return false;
    if (!(this.#access instanceof FileAccess)) return log.awaitSync(undefined, PATIENCE);
    return !log.needsSyncedData(log.dataHead) && this.#access.awaitSync(undefined, PATIENCE);
  }

  /** True if stocks run low and no thread has told the pool thread. */
  shouldAsk(): boolean {
    return shouldAsk(this.#memory.plane, this.#free, this.#logWords);
  }

  /** For how many milliseconds the thread is to wait before it answers a write of so many bytes. */
  pauseAfter(bytes: number): number {
    return pauseFor(bytes, fullness(this.#memory.plane, this.#logWords));
  }

  /** The pool thread counts the requests that it serves. */
  #counted(kind: TrafficKind, bytes: number, work: () => boolean): boolean {
    const began = performance.now();
    if (!work()) return false;
    const took = performance.now() - began;
    for (const traffic of this.#traffic) traffic.note(this.#thread, kind, bytes, took, true);
    return true;
  }

  #within(barrier: number, work: () => boolean): boolean {
    // The pool thread shuts the gate first and looks at the epochs then, so one of the two sees the other.
    this.#epochs.enter(this.#thread);
    try {
      if (Atomics.load(this.#memory.control, GATE) >= barrier || !this.isCurrent) return false;
      return work();
    } catch {
      // The pool thread meets the same failure and reports it to the caller.
      return false;
    } finally {
      this.#epochs.leave(this.#thread);
    }
  }
}

/** First the data, then the log that says of it where it belongs. */
function flushData(access: FileAccess, log: LogWriter): boolean {
  const position = log.dataHead;
  if (!access.sync()) return false;
  if (!log.needsSyncedData(position)) return log.isOn;
  if (!log.syncedData(position) || !log.sync()) return false;
  log.noteDataSynced(position);
  return true;
}

/** One a thread, however many devices it serves: what it packs records in is large. */
const writers = new Map<Int32Array, LogWriter>();

function writerOf(memory: LogMemory): LogWriter {
  const key = memory.words;
  let writer = writers.get(key);
  if (writer === undefined) writers.set(key, (writer = new LogWriter(memory)));
  return writer;
}
