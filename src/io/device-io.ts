import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ThinError } from '../errors/thin-error.js';
import { virtualBlock, type ChunkId, type DeviceId } from '../format/ids.js';
import type { PlacedRun } from '../metadata/mapping-runs.js';
import type { Metadata } from '../metadata/metadata.js';
import { threadInts } from '../threads/dirty-map.js';
import { FirstReads } from '../threads/first-reads.js';
import { Traffic, type TrafficKind } from '../threads/traffic.js';
import { linesFor } from '../store/log-writer.js';
import { askAhead } from './ask-ahead.js';
import { BlockPath, type Outcome } from './block-path.js';
import { wholeBlocks } from './block-ranges.js';
import { counted, type Request } from './counted.js';
import type { DataPlane } from './data-plane.js';
import { DeviceMappings } from './device-mappings.js';
import type { ImageFile } from './image-file.js';
import { inOrder } from './in-order.js';
import { inTime } from './in-time.js';
import { chunkOf, HOLE, type MappingTable } from './mapping-table.js';
import { placedRuns } from './placed-runs.js';
import type { PoolGate } from './pool-gate.js';
import { SHEET_WORDS } from './table-sheets.js';
import { GATE, OPEN, READ_ONLY, SHUT, TOUCHED, VERSION, type ImageMemory } from './thread-image.js';

/** Blocks that a discard unmaps before others get their turn, or as much of other work. */
const DISCARD_STEP = 1024;
/** Words that are looked at in the time in which a block is unmapped, about. */
const LOOKS_A_BLOCK = 64;
/**
 * Changed mappings from which a discard waits for a commit: what a commit applies at once, holds in memory
 * and writes stays small.
 */
const MOST_PENDING = 16 * 1024;

/** Where a discard that is not done goes on, and what it waits for before. */
interface DiscardRest {
  readonly block: number;
  readonly needs: 'turn' | 'commit' | 'nodes' | 'sheets';
}

/**
 * The data path of one active device on the pool thread, and what its other threads (ThreadImage) cannot do
 * by themselves: read mappings from the tree, bring chunks into memory, wait for room, discard, flush.
 */
export class DeviceIo implements ImageFile {
  readonly device: DeviceId;
  readonly readOnly = false;
  readonly #name: string;
  readonly #metadata: Metadata;
  readonly #plane: DataPlane;
  readonly #gate: PoolGate;
  readonly #control = threadInts(3);
  /** Its requests since it became active. */
  readonly traffic = new Traffic();
  readonly firstReads = new FirstReads();
  /** Milliseconds that a request may wait for bytes that are not here; undefined: as long as it takes. */
  patience: number | undefined;
  readonly #mappings: DeviceMappings;
  #path: BlockPath;
  #memory: ImageMemory;
  #size: number;
  #modifiedAt = Date.now();
  #closed = false;
  #threadsWrite = true;
  /** While the gate is shut: resolves when it opens. */
  #opened: Promise<void> | undefined;

  constructor(parts: { device: DeviceId; metadata: Metadata; plane: DataPlane; gate: PoolGate }) {
    const record = parts.metadata.devices.get(parts.device);
    this.device = parts.device;
    this.#name = record.name;
    this.#metadata = parts.metadata;
    this.#plane = parts.plane;
    this.#gate = parts.gate;
    this.#size = record.size;
    this.#mappings = new DeviceMappings({
      device: parts.device,
      metadata: parts.metadata,
      sheets: parts.plane.sheets,
      blocks: this.#blocksOf(record.size),
      searchStep: parts.plane.searchStep,
    });
    this.#path = this.#newPath();
    this.#memory = this.#describe();
  }

  get size(): number {
    return this.#size;
  }

  get memory(): ImageMemory {
    return this.#memory;
  }

  /** Chunks mapped, those included that no commit has applied yet. */
  get mappedChunks(): number {
    return this.#metadata.devices.get(this.device).mapped + this.#table.newlyMapped;
  }

  get mappedBytes(): number {
    return this.mappedChunks * this.#chunkSize;
  }

  get modifiedAt(): number {
    if (Atomics.exchange(this.#control, TOUCHED, 0) !== 0) this.#modifiedAt = Date.now();
    return this.#modifiedAt;
  }

  get pendingMappings(): number {
    return this.#table.dirtyCount;
  }

  read(offset: number, into: Uint8Array): Promise<void> | undefined {
    this.firstReads.noteRead(offset, into.length, this.#chunkSize);
    return this.#counted('read', into.length, (request) => this.#read(offset, into, request));
  }

  #read(offset: number, into: Uint8Array, request: Request): Promise<void> | undefined {
    this.#requireOpen(offset, into.length);
    if (this.#opened !== undefined) return this.#opened.then(() => this.#read(offset, into, request));
    for (let done = 0; done < into.length;) {
      const from = done;
      const outcome = this.#guard(() => this.#path.read(offset + from, into, from, into.length - from));
      done += this.#path.progress;
      const rest = done;
      request.missed ||= outcome === 'missing';
      if (outcome === 'missing')
        askAhead(
          this.#table,
          this.#plane.chunks,
          this.#blockAt(offset + rest) + 1,
          this.#blockAt(offset + into.length - 1),
        );
      const waiting = this.#help(outcome, offset + rest);
      if (waiting !== undefined)
        return waiting.then(() => this.#read(offset + rest, into.subarray(rest), request));
    }
    return undefined;
  }

  write(offset: number, from: Uint8Array): Promise<void> | undefined {
    this.firstReads.noteWritten(offset, from.length, this.#chunkSize);
    return this.#counted('write', from.length, (request) => this.#write(offset, from, request));
  }

  #write(offset: number, from: Uint8Array, request: Request): Promise<void> | undefined {
    this.#requireOpen(offset, from.length);
    this.#gate.requireWritable();
    if (this.#opened !== undefined) return this.#opened.then(() => this.#write(offset, from, request));
    const held = this.#gate.admit(this, offset, from.length);
    if (held !== undefined) return held.then(() => this.#write(offset, from, request));
    Atomics.store(this.#control, TOUCHED, 1);
    for (let done = 0; done < from.length;) {
      const begin = done;
      const outcome = this.#guard(() => this.#path.write(offset + begin, from, begin, from.length - begin));
      done += this.#path.progress;
      const rest = done;
      request.missed ||= outcome === 'missing';
      const waiting = this.#help(outcome, offset + rest);
      // Finished parts stay written. The rest continues when there is room.
      if (waiting !== undefined)
        return waiting.then(() => this.#write(offset + rest, from.subarray(rest), request));
    }
    this.#gate.noteChange();
    return undefined;
  }

  discard(offset: number, length: number): Promise<void> | undefined {
    this.#requireOpen(offset, length);
    this.#gate.requireWritable();
    if (this.#opened !== undefined) return this.#opened.then(() => this.discard(offset, length));
    const { first, end } = wholeBlocks(offset, length, this.#chunkSize, this.#size);
    const rest = this.#discardSome(first, end);
    if (rest !== undefined) return this.#discardRest(rest, end);
    this.#gate.noteChange();
    return undefined;
  }

  writeZeroes(offset: number, length: number): Promise<void> | undefined {
    const { first, end } = wholeBlocks(offset, length, this.#chunkSize, this.#size);
    const stop = offset + length;
    if (first >= end) return this.write(offset, new Uint8Array(length));
    const head = first * this.#chunkSize - offset;
    const tail = Math.max(0, stop - end * this.#chunkSize);
    return inOrder([
      () => this.discard(offset, length),
      () => (head > 0 ? this.write(offset, new Uint8Array(head)) : undefined),
      () => (tail > 0 ? this.write(stop - tail, new Uint8Array(tail)) : undefined),
    ]);
  }

  async flush(): Promise<void> {
    await this.#counted('flush', 0, () => this.#gate.flush());
  }

  #counted(kind: TrafficKind, bytes: number, work: Parameters<typeof counted>[3]): Promise<void> | undefined {
    return counted([this.traffic, this.#plane.traffic], kind, bytes, work);
  }

  async seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    let at = Math.floor(offset / this.#chunkSize);
    for (;;) {
      this.#requireOpen(offset, 0);
      const end = this.#blocksOf(this.#size);
      const step = this.#guard(() => this.#mappings.search(at, end, what === 'data'));
      if (step.found) return Math.max(offset, step.at * this.#chunkSize);
      if (step.at >= end) return what === 'data' ? undefined : this.#size;
      at = step.at;
      await nextTurn();
    }
  }

  runs(): AsyncIterable<readonly PlacedRun[]> {
    const seek = (block: number): Promise<number | undefined> => this.seek(block * this.#chunkSize, 'data');
    return placedRuns(this.#mappings, { seek, chunkSize: this.#chunkSize, size: () => this.#size });
  }

  lookAfter(): void {
    this.#plane.lookAfter();
  }

  /** Blocks that the range touches and that are not mapped. */
  holesIn(offset: number, length: number): number {
    let holes = 0;
    const last = Math.floor((offset + length - 1) / this.#chunkSize);
    for (let block = Math.floor(offset / this.#chunkSize); block <= last; block++)
      if (!this.#guard(() => this.#mappings.isMapped(block))) holes++;
    return holes;
  }

  /**
   * A mapping that a process which is gone has made: the chunk was taken from the space map, and has its
   * data.
   */
  async restore(block: number, chunk: ChunkId | undefined): Promise<void> {
    while (!this.#mappings.loadWord(block)) await this.#gate.waitForSheets();
    if (chunk === undefined) this.#unmap(block);
    else {
      this.#table.lock(block);
      this.#table.publish(block, chunk);
    }
  }

  /**
   * Hands mappings that changed to the metadata: at most `most`, of blocks from `from` on. Each call is
   * whole, and others may come between two.
   * @returns the block to go on at; undefined: nothing that had changed before is left behind `from`
   */
  applyMappings(from = 0, most = Infinity): number | undefined {
    const { entries, next } = this.#table.takeDirty(from, most);
    const before = this.#metadata.devices.get(this.device).mapped;
    let applied = 0;
    try {
      for (const block of entries) {
        const word = this.#table.load(block);
        if (word === HOLE) this.#metadata.unmap(this.device, virtualBlock(block));
        else this.#map(block, chunkOf(word));
        applied++;
      }
    } catch (error) {
      for (const block of entries.slice(applied)) this.#table.markDirty(block);
      throw error;
    } finally {
      this.#table.noteApplied(this.#metadata.devices.get(this.device).mapped - before);
    }
    return next;
  }

  #map(block: number, chunk: ChunkId): void {
    const backing = this.#plane.chunks.takeBacking(chunk);
    // Before the block's old chunk is released, which may be the backing.
    if (backing !== undefined) this.#metadata.makePartial(chunk, backing);
    this.#metadata.map(this.device, virtualBlock(block), chunk);
  }

  /**
   * Runs `work`, which waits for nothing but the same of other devices, at a moment when no request on the
   * device is in flight on any thread; requests that come meanwhile wait (dm's suspend).
   */
  async quiesced<T>(work: () => T | Promise<T>): Promise<T> {
    while (this.#opened !== undefined) await this.#opened;
    let open = (): void => undefined;
    this.#opened = new Promise((resolve) => (open = resolve));
    Atomics.store(this.#control, GATE, SHUT);
    try {
      await this.#plane.epochs.quiet();
      return await work();
    } finally {
      Atomics.store(this.#control, GATE, this.#threadsWrite ? OPEN : READ_ONLY);
      this.#opened = undefined;
      open();
    }
  }

  /** Sheets that `forgetMappings` gives back to all. */
  get tableSheets(): number {
    return this.#table.sheetCount;
  }

  /**
   * Mappings are read from the tree anew, where they may be shared since. Quiesced or closed, and what
   * changed of them was applied before.
   */
  forgetMappings(): void {
    assert(this.#table.dirtyCount === 0, 'mappings are applied before they are forgotten');
    this.#mappings.forget();
  }

  /** Quiesced. */
  grow(size: number): void {
    this.#size = size;
    this.#mappings.grow(this.#blocksOf(size));
    this.retire();
    this.renew();
  }

  /** Other threads begin no request until they get `memory` again. */
  retire(): void {
    Atomics.add(this.#control, VERSION, 1);
  }

  /** Requests go by the plane as it is now. Retired before, and no request of another thread is under way. */
  renew(): void {
    this.#path = this.#newPath();
    this.#memory = this.#describe();
  }

  /** Other threads leave writes, which the pool refuses or not, to this one. */
  letThreadsWrite(allowed: boolean): void {
    this.#threadsWrite = allowed;
    if (this.#opened === undefined) Atomics.store(this.#control, GATE, allowed ? OPEN : READ_ONLY);
  }

  /** Requests from now on fail with `closed`; resolves when those on other threads have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    Atomics.add(this.#control, VERSION, 1);
    await this.#plane.epochs.quiet();
  }

  get #table(): MappingTable {
    return this.#mappings.table;
  }

  #blockAt(offset: number): number {
    return Math.floor(offset / this.#chunkSize);
  }

  get #chunkSize(): number {
    return this.#plane.chunks.chunkSize;
  }

  #newPath(): BlockPath {
    const { chunks, free, log } = this.#plane;
    return new BlockPath({
      device: this.device,
      table: this.#table,
      access: chunks.access,
      free,
      log: log?.writer,
    });
  }

  #describe(): ImageMemory {
    return {
      device: this.device,
      version: Atomics.load(this.#control, VERSION),
      size: this.#size,
      control: this.#control,
      table: this.#table.memory,
      plane: this.#plane.memory,
      traffic: this.traffic.memory,
      firstReads: this.firstReads.memory,
    };
  }

  /** Does what a request at `offset` lacks; a promise where that takes waiting. */
  #help(outcome: Outcome, offset: number): Promise<void> | undefined {
    switch (outcome) {
      case 'done':
        return undefined;
      case 'unknown':
        return this.#loadMappings(this.#blockAt(offset));
      case 'no-sheet':
        return this.#mappings.loadWord(this.#blockAt(offset)) ? undefined : this.#gate.waitForSheets();
      case 'missing':
        return inTime(this.#bring(this.#path.missing!), this.patience);
      case 'no-room':
        return this.#plane.chunks.makeRoom();
      case 'no-chunk':
        return this.#plane.refill() ? undefined : this.#gate.waitForSpace(this.#name);
      case 'no-log':
        return this.#gate.commit();
    }
  }

  #loadMappings(block: number): Promise<void> | undefined {
    const load = (): Promise<void> | undefined => {
      // The request finds that out.
      if (this.#closed) return undefined;
      return this.#guard(() => this.#mappings.load(block)) ? undefined : this.#gate.waitForSheets();
    };
    const ahead = this.#mappings.readAhead(block);
    return ahead === undefined ? load() : ahead.then(load);
  }

  #bring(chunk: ChunkId): Promise<void> | undefined {
    return this.#guard(() => this.#plane.chunks.bring(chunk))?.catch(this.#fail);
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      return this.#fail(error);
    }
  }

  readonly #fail = (error: unknown): never => {
    if (error instanceof ThinError && error.code === 'damaged') this.#gate.foundDamage(error);
    throw error;
  };

  /** Unmaps blocks of [first, end), as far as it comes; undefined: all of them. */
  #discardSome(first: number, end: number): DiscardRest | undefined {
    const { log } = this.#plane;
    if (log === undefined) return this.#discardStep(first, end);
    const lines = linesFor(0, Math.max(0, Math.min(DISCARD_STEP, end - first)));
    if (!log.writer.reserve(lines)) return { block: first, needs: 'commit' };
    try {
      return this.#discardStep(first, end);
    } finally {
      log.writer.release(lines);
    }
  }

  #discardStep(first: number, end: number): DiscardRest | undefined {
    let block = first;
    for (let left = DISCARD_STEP; left > 0; left--) {
      const { found, at, looked } = this.#guard(() => this.#mappings.search(block, end, true));
      left -= looked / LOOKS_A_BLOCK;
      block = at;
      if (!found) return block < end ? { block, needs: 'turn' } : undefined;
      if (this.#table.dirtyCount >= MOST_PENDING) return { block, needs: 'commit' };
      if (!this.#plane.mayUnmap) return { block, needs: 'nodes' };
      if (!this.#mappings.isKnown(at)) left -= SHEET_WORDS / LOOKS_A_BLOCK;
      if (!this.#guard(() => this.#mappings.loadWord(at))) return { block, needs: 'sheets' };
      this.#unmap(block++);
    }
    return block < end ? { block, needs: 'turn' } : undefined;
  }

  async #discardRest(from: DiscardRest, end: number): Promise<void> {
    for (let rest: DiscardRest | undefined = from; rest !== undefined;) {
      await this.#waitFor(rest.needs);
      while (this.#opened !== undefined) await this.#opened;
      this.#requireOpen(0, 0);
      this.#gate.requireWritable();
      rest = this.#discardSome(rest.block, end);
    }
    this.#gate.noteChange();
  }

  #waitFor(needs: DiscardRest['needs']): Promise<void> {
    switch (needs) {
      case 'turn':
        return nextTurn();
      case 'commit':
        return this.#gate.commit();
      case 'nodes':
        return this.#gate.waitForNodes(this.#name);
      case 'sheets':
        return this.#gate.waitForSheets();
    }
  }

  /** The block is known and has its word. */
  #unmap(block: number): void {
    const word = this.#table.lock(block);
    if (word === HOLE) {
      this.#table.unlock(block);
      return;
    }
    this.#plane.log?.writer.unmap(this.device, block);
    this.#table.publish(block, undefined);
    // No commit has seen it yet: the tree has nothing to give back.
    if (this.#metadata.chunks.count(chunkOf(word)) === 0) this.#plane.giveUp(chunkOf(word));
  }

  #requireOpen(offset: number, length: number): void {
    if (this.#closed)
      throw new ThinError('closed', `device ${this.#name} is not active; activate it to read or write`);
    assert(offset >= 0 && offset + length <= this.#size, 'a transport keeps requests inside the file');
  }

  #blocksOf(size: number): number {
    return Math.ceil(size / this.#chunkSize);
  }
}
