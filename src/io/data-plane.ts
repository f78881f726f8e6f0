import { totalmem } from 'node:os';
import { chunkId, type ChunkId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import { threadInts } from '../threads/dirty-map.js';
import { FreeRing, type FreeRingMemory } from '../threads/free-ring.js';
import type { RequestEpochs } from '../threads/request-epochs.js';
import { Traffic } from '../threads/traffic.js';
import type { LogMemory, LogWords } from '../store/log-memory.js';
import { isLong, type PoolLog } from '../store/pool-log.js';
import { dirtiness, isHalfDirty } from '../store/cache-access.js';
import type { ChunkMemory } from '../store/chunk-access.js';
import type { ChunkStore } from '../store/chunk-store.js';
import { ZEROED } from './block-path.js';
import { SEARCH_STEP } from './device-mappings.js';
import { SHEET_BYTES, TableSheets } from './table-sheets.js';

/** What another thread needs to serve devices of the pool. */
export interface PlaneMemory {
  readonly chunks: ChunkMemory;
  readonly free: FreeRingMemory;
  readonly epochs: Int32Array;
  /** See ASKED_FOR_CHUNKS and what follows. */
  readonly asked: Int32Array;
  /** Of all devices (`Traffic`). */
  readonly traffic: Float64Array;
  /** The log has what was answered and not committed; undefined: the pool has none. */
  readonly log: LogMemory | undefined;
}

/** Word of `asked`: a thread has asked for free chunks, and the pool thread has not come to it yet. */
const ASKED_FOR_CHUNKS = 0;
/** Word of `asked`: a thread has asked for a commit, and it has not ended yet. */
const ASKED_FOR_COMMIT = 1;
/** Word of `asked`: with fewer free chunks than this in the ring, a thread asks. */
const LOW_MARK = 2;
/** Word of `asked`: mappings or sheets were changed, and no durable commit has them so far. */
const UNSETTLED = 3;
/**
 * Chunks handed out ahead: 256 MiB of 64 KiB chunks, some tenths of a second of the fastest writing. A power
 * of two.
 */
const RING = 4096;

/** What the data plane asks of its pool. */
export interface PlaneOwner {
  /** Mappings that no commit has applied yet, over all active devices; each may cost nodes. */
  readonly pendingMappings: number;
  /** Whether chunks may be handed out at all. */
  readonly mayTake: boolean;
  commit(): Promise<void>;
  /** Chunks have become free. */
  noteReleased(): void;
  /** The ring may have more free chunks than before. */
  noteRefilled(): void;
}

/**
 * What all active devices of a pool share below their tables: the data of chunks, free chunks for threads
 * that cannot ask the space map, and the way of an unmapped chunk back into the space map. Pool thread only.
 */
export class DataPlane {
  readonly chunks: ChunkStore;
  readonly epochs: RequestEpochs;
  readonly free: FreeRing;
  /** Requests of all devices since the pool was opened. */
  readonly traffic = new Traffic();
  readonly log: PoolLog | undefined;
  /** Of the mapping tables of all devices. */
  readonly sheets: TableSheets;
  /** Blocks that a search for data or holes looks at before others get their turn, about. */
  readonly searchStep: number;
  readonly #metadata: Metadata;
  readonly #owner: PlaneOwner;
  #memory: PlaneMemory;
  /** Never counted in the space map, and not mapped any more. */
  #givenUp: ChunkId[] = [];
  readonly #recycling = new Set<Promise<void>>();

  constructor(
    owner: PlaneOwner,
    parts: {
      readonly chunks: ChunkStore;
      readonly metadata: Metadata;
      readonly epochs: RequestEpochs;
      readonly log: PoolLog | undefined;
      /** Sheets of 4 KiB that all mapping tables may have. */
      readonly tableSheets: number | undefined;
      readonly searchStep: number | undefined;
    },
  ) {
    this.#owner = owner;
    this.chunks = parts.chunks;
    this.epochs = parts.epochs;
    this.log = parts.log;
    this.free = FreeRing.create(RING);
    this.sheets = new TableSheets(parts.tableSheets ?? mostTableSheets());
    this.searchStep = parts.searchStep ?? SEARCH_STEP;
    this.#memory = {
      chunks: parts.chunks.memory,
      free: this.free.memory,
      epochs: parts.epochs.memory,
      asked: threadInts(4),
      traffic: this.traffic.memory,
      log: parts.log?.memory,
    };
    this.#metadata = parts.metadata;
  }

  get memory(): PlaneMemory {
    return this.#memory;
  }

  /** `ChunkStore.resizeCache`, where there is one. The caller then tells threads of the new memory. */
  resizeCache(bytes: number): void {
    this.chunks.resizeCache?.(bytes);
    this.#memory = { ...this.#memory, chunks: this.chunks.memory };
  }

  /** Chunks that can be had without a commit. */
  get available(): number {
    return this.free.count + this.#metadata.chunks.available;
  }

  /** Chunks that are on their way back. */
  get returning(): number {
    return this.#givenUp.length + this.#metadata.chunks.awaitingRelease;
  }

  /** The most free chunks that `refill` keeps in the ring. */
  get mostAtHand(): number {
    // A small pool would seem full with all of it in the ring.
    return Math.min(RING, Math.max(16, this.#metadata.chunks.limit >> 4));
  }

  /**
   * Whether the nodes are there for so many changes of mappings, beside those that are pending or may come
   * without asking.
   */
  mayMap(changes: number): boolean {
    return this.#metadata.hasNodesFor(this.#owner.pendingMappings + this.free.count + changes);
  }

  /** Whether the nodes are there to unmap one more block. */
  get mayUnmap(): boolean {
    return this.#metadata.hasNodesToUnmap(this.#owner.pendingMappings + this.free.count);
  }

  /** Fills the ring with free chunks, as many as the free nodes allow to map. False if there is none. */
  refill(): boolean {
    const { chunks } = this.#metadata;
    const wanted = this.#owner.mayTake ? this.mostAtHand : 0;
    while (this.free.count < wanted && this.mayMap(1)) {
      const taken = chunks.take();
      if (taken === undefined) break;
      this.free.put(taken | (this.chunks.takeZeroed(chunkId(taken)) ? ZEROED : 0));
    }
    // Where there is no more to be had, asking for it would not help.
    Atomics.store(this.memory.asked, LOW_MARK, this.free.count < wanted ? 0 : wanted >> 1);
    this.#owner.noteRefilled();
    return this.free.count > 0;
  }

  /** Takes back the free chunks in the ring, so that no thread maps one without asking. */
  drain(): void {
    for (let entry = this.free.take(); entry !== undefined; entry = this.free.take())
      this.#metadata.chunks.putBack(entry & ~ZEROED);
  }

  /** Whether all that devices changed in the metadata is durable; false before it is taken from them. */
  set isSettled(settled: boolean) {
    Atomics.store(this.memory.asked, UNSETTLED, settled ? 0 : 1);
  }

  /** So much was written that a commit should begin. */
  get wantsCommit(): boolean {
    return this.chunks.wantsCommit || this.log?.isLong === true;
  }

  /** Serves the request of a thread that saw stocks run low. */
  lookAfter(): void {
    const { asked } = this.memory;
    Atomics.store(asked, ASKED_FOR_CHUNKS, 0);
    this.refill();
    // The disk begins with what there is while more is written; a flush would find all of it otherwise.
    if (this.chunks.memory.kind === 'file') void this.#owner.commit().catch(() => undefined);
    if (!this.wantsCommit) Atomics.store(asked, ASKED_FOR_COMMIT, 0);
    else
      void this.#owner
        .commit()
        .catch(() => undefined)
        .finally(() => Atomics.store(asked, ASKED_FOR_COMMIT, 0));
  }

  /** Takes a chunk that was mapped, never by a commit, and is not mapped any more. */
  giveUp(chunk: ChunkId): void {
    this.chunks.drop(chunk);
    this.#givenUp.push(chunk);
  }

  /**
   * The chunks that were given up so far. The caller recycles or keeps them. The log may have the mapping
   * and, later, its end. So the commit after which such a chunk is used again must begin after both.
   */
  takeGivenUp(): readonly ChunkId[] {
    const givenUp = this.#givenUp;
    this.#givenUp = [];
    return givenUp;
  }

  keepGivenUp(chunks: readonly ChunkId[]): void {
    this.#givenUp.push(...chunks);
  }

  /**
   * Returns chunks to the space map when no request can see their data: chunks that a durable commit freed,
   * and chunks that were given up before it began.
   */
  recycle(freed: readonly ChunkId[], givenUp: readonly ChunkId[]): void {
    if (freed.length === 0 && givenUp.length === 0) return;
    const done = this.epochs
      .quiet()
      .then(() => this.chunks.recycle([...freed, ...givenUp]))
      .then(() => {
        this.#metadata.chunks.release(freed);
        for (const chunk of givenUp) this.#metadata.chunks.putBack(chunk);
        this.#recycling.delete(done);
        this.#owner.noteReleased();
      });
    this.#recycling.add(done);
  }

  /** Resolves when what was on its way back at the call is there. */
  async recycled(): Promise<void> {
    await Promise.all(this.#recycling);
  }
}

/**
 * A sixteenth of the machine's memory, and what 8 TiB of mapped blocks take at most; no less than two devices
 * need.
 */
function mostTableSheets(): number {
  return Math.floor(Math.min(512 * 2 ** 20, Math.max(16 * 2 ** 20, totalmem() / 16)) / SHEET_BYTES);
}

/** Whether a thread should ask the pool thread to look after the plane; once each time that it is needed. */
export function shouldAsk(memory: PlaneMemory, free: FreeRing, log: LogWords | undefined): boolean {
  const { asked, chunks } = memory;
  if (free.count < Atomics.load(asked, LOW_MARK) && claim(asked, ASKED_FOR_CHUNKS)) return true;
  const isDue = (chunks.kind === 'cache' && isHalfDirty(chunks)) || (log !== undefined && isLong(log));
  return isDue && claim(asked, ASKED_FOR_COMMIT);
}

/** How near the pool is to making writers wait for a commit, 1 being there. */
export function fullness({ chunks }: PlaneMemory, log: LogWords | undefined): number {
  return Math.max(chunks.kind === 'cache' ? dirtiness(chunks) : 0, log?.isOn === true ? log.fullness : 0);
}

/** Of mappings that were taken from their device: whether they are durable. */
export function areSettled({ asked }: PlaneMemory): boolean {
  return Atomics.load(asked, UNSETTLED) === 0;
}

function claim(asked: Int32Array, word: number): boolean {
  return Atomics.load(asked, word) === 0 && Atomics.compareExchange(asked, word, 0, 1) === 0;
}
