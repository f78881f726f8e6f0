import assert from 'node:assert/strict';
import { ThinError } from '../errors/thin-error.js';
import { chunkId, virtualBlock, type DeviceId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import type { ChunkStore } from '../store/chunk-store.js';
import { isZero, segments, wholeBlocks } from './block-ranges.js';
import type { ImageFile } from './image-file.js';
import { PageTable } from './page-table.js';

/** What a device's data path asks of its pool. */
export interface PoolGate {
  /** @throws ThinError read-only, closed */
  requireWritable(): void;
  /** Undefined while another write may be taken in; otherwise resolves when staged data has gone to the store. */
  throttle(): Promise<void> | undefined;
  /** Something changed in memory: a commit is due. */
  changed(): void;
  commit(): Promise<void>;
  /** Mappings that no commit has applied yet, over all active devices; each may cost nodes. */
  pendingMappings(): number;
  /** Resolves when a chunk may be had; rejects with `no-space` at once, or when the pool's timeout is over. */
  waitForSpace(device: string): Promise<void>;
  /** A chunk or node was found damaged. */
  foundDamage(error: ThinError): void;
}

/**
 * The data path of one active device (dm-thin.c, `process_bio`): provision, break sharing, overwrite, discard. Every step on a chunk
 * is taken whole before another request is looked at, so requests to one chunk are ordered; what waits is a flush, a
 * writer that is ahead of the commits, and a writer in a full pool.
 */
export class DeviceIo implements ImageFile {
  readonly device: DeviceId;
  readonly readOnly = false;
  readonly #name: string;
  readonly #metadata: Metadata;
  readonly #chunks: ChunkStore;
  readonly #gate: PoolGate;
  readonly #table: PageTable;
  #size: number;
  #newlyMapped = 0;
  #modifiedAt = Date.now();
  #closed = false;

  constructor(parts: { device: DeviceId; metadata: Metadata; chunks: ChunkStore; gate: PoolGate }) {
    const record = parts.metadata.devices.get(parts.device);
    this.device = parts.device;
    this.#name = record.name;
    this.#metadata = parts.metadata;
    this.#chunks = parts.chunks;
    this.#gate = parts.gate;
    this.#size = record.size;
    this.#table = new PageTable(this.#blocksOf(record.size), (from, to) =>
      this.#metadata.mappings(this.device, from, to),
    );
  }

  get size(): number {
    return this.#size;
  }

  /** Chunks mapped, those included that no commit has applied yet. */
  get mappedChunks(): number {
    return this.#metadata.devices.get(this.device).mapped + this.#newlyMapped;
  }

  get mappedBytes(): number {
    return this.mappedChunks * this.#chunks.chunkSize;
  }

  get modifiedAt(): number {
    return this.#modifiedAt;
  }

  get pendingMappings(): number {
    return this.#table.dirtyCount;
  }

  read(offset: number, into: Uint8Array): undefined {
    this.#requireOpen(offset, into.length);
    for (const { block, offset: within, length, at } of segments(offset, into.length, this.#chunkSize)) {
      const chunk = this.#guard(() => this.#table.chunk(block));
      const part = into.subarray(at, at + length);
      if (chunk === undefined) part.fill(0);
      else this.#guard(() => this.#chunks.read(chunk, within, part));
    }
  }

  write(offset: number, from: Uint8Array): Promise<void> | undefined {
    this.#requireOpen(offset, from.length);
    this.#gate.requireWritable();
    const throttled = this.#gate.throttle();
    if (throttled !== undefined) return throttled.then(() => this.write(offset, from));
    this.#modifiedAt = Date.now();
    for (const { block, offset: within, length, at } of segments(offset, from.length, this.#chunkSize))
      if (!this.#guard(() => this.#writeBlock(block, within, from.subarray(at, at + length))))
        // What is written stays written; the rest goes on when there is room.
        return this.#gate.waitForSpace(this.#name).then(() => this.write(offset + at, from.subarray(at)));
    this.#gate.changed();
    return undefined;
  }

  discard(offset: number, length: number): undefined {
    this.#requireOpen(offset, length);
    this.#gate.requireWritable();
    const { first, end } = wholeBlocks(offset, length, this.#chunkSize, this.#size);
    for (let block = first; block < end; block++) this.#unmap(block);
    this.#gate.changed();
  }

  writeZeroes(offset: number, length: number): Promise<void> | undefined {
    this.discard(offset, length);
    const { first, end } = wholeBlocks(offset, length, this.#chunkSize, this.#size);
    const stop = offset + length;
    if (first >= end) return this.write(offset, new Uint8Array(length));
    const head = first * this.#chunkSize - offset;
    const tail = Math.max(0, stop - end * this.#chunkSize);
    const begun = head > 0 ? this.write(offset, new Uint8Array(head)) : undefined;
    const finish = () => (tail > 0 ? this.write(stop - tail, new Uint8Array(tail)) : undefined);
    return begun === undefined ? finish() : begun.then(finish);
  }

  async flush(): Promise<void> {
    await this.#gate.commit();
  }

  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    const blocks = this.#blocksOf(this.#size);
    for (let block = Math.floor(offset / this.#chunkSize); block < blocks; block++)
      if ((this.#table.chunk(block) !== undefined) === (what === 'data'))
        return Promise.resolve(Math.max(offset, block * this.#chunkSize));
    return Promise.resolve(what === 'data' ? undefined : this.#size);
  }

  /** Hands every mapping changed since the last call to the metadata; called by the commit and before a snapshot. */
  applyMappings(): void {
    const blocks = this.#table.takeDirty();
    let applied = 0;
    try {
      for (const block of blocks) {
        const chunk = this.#table.chunk(block);
        if (chunk === undefined) this.#metadata.unmap(this.device, virtualBlock(block));
        else this.#metadata.map(this.device, virtualBlock(block), chunk);
        applied++;
      }
      this.#newlyMapped = 0;
    } catch (error) {
      this.#table.keepDirty(blocks.slice(applied));
      throw error;
    }
  }

  /** After a snapshot of this device: what it maps is shared now. Its mappings were applied before. */
  noteSnapshot(): void {
    assert(this.#table.dirtyCount === 0, 'mappings are applied before a snapshot shares them');
    this.#table.invalidate();
  }

  grow(size: number): void {
    this.#size = size;
    this.#table.grow(this.#blocksOf(size));
  }

  /** Requests from now on fail with `closed`. */
  close(): void {
    this.#closed = true;
  }

  get #chunkSize(): number {
    return this.#chunks.chunkSize;
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof ThinError && error.code === 'damaged') this.#gate.foundDamage(error);
      throw error;
    }
  }

  /** False: no chunk was to be had, and nothing was changed. */
  #writeBlock(block: number, within: number, from: Uint8Array): boolean {
    const old = this.#table.chunk(block);
    if (old === undefined && isZero(from)) return true;
    if (old !== undefined && !this.#table.isShared(block)) {
      this.#chunks.overwrite(old, within, from);
      return true;
    }
    if (!this.#metadata.hasNodesFor(this.#gate.pendingMappings() + 1)) return false;
    const taken = this.#metadata.chunks.take();
    if (taken === undefined) return false;
    const chunk = chunkId(taken);
    if (old === undefined) {
      this.#chunks.provision(chunk, within, from);
      this.#newlyMapped++;
    } else {
      try {
        this.#chunks.copy(old, chunk, within, from);
      } catch (error) {
        this.#metadata.chunks.putBack(chunk);
        throw error;
      }
    }
    this.#table.set(block, chunk);
    return true;
  }

  #unmap(block: number): void {
    const chunk = this.#table.chunk(block);
    if (chunk === undefined) return;
    this.#table.set(block, undefined);
    this.#newlyMapped--;
    // No commit has seen it yet: the tree has nothing to give back.
    if (this.#metadata.chunks.count(chunk) === 0) {
      this.#metadata.chunks.putBack(chunk);
      this.#chunks.forget(chunk);
    }
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
