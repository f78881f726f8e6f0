import { close, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../errors/thin-error.js';
import { firstAt } from '../format/first-at.js';
import { isPoolKey } from '../format/keys.js';
import { unpackInternalKey, VarintReader } from './level-bytes.js';
import { tableNames } from './level-folder.js';
import {
  BlockError,
  blockBytes,
  blockProblem,
  dataEntries,
  FOOTER,
  indexHandle,
  TRAILER,
  type BlockHandle,
} from './level-table.js';
import type { FileState } from './table-looks.js';

/** What LevelDB would read of a block is not as it was written. */
export interface BadTableBlock {
  readonly offset: number;
  readonly problem: string;
}

/** Of the block that LevelDB looks for a key in. */
export interface LookedAt {
  readonly bad: BadTableBlock | undefined;
  /** The block is well and holds the key. */
  readonly holds: boolean;
}

/** Enough for the head of an entry and its key. */
const HEAD = 64;
/** Restart points: one, and their number. */
const LONE_RESTARTS = 8;
/** Bytes; blocks up to this are read whole, and so is each that holds a patch. */
const SMALL = 32768;
/** Milliseconds after which an index is compared with its file again. */
const INDEX_FRESH = 1000;

/**
 * The structure of one table's blocks, read as LevelDB's assertions need it: its own reader trusts lengths,
 * keys and restart points. Values are not looked at, for their seals tell. Synchronous: some microseconds a
 * block, and what LevelDB reads next is in the page cache then.
 */
export class TableBlocks {
  readonly #fd: number;
  readonly #size: number;
  readonly #lastSequence: number;
  #index: BlockHandle | undefined;
  #bytes: Buffer = NOTHING;
  #restarts: Uint32Array = new Uint32Array(0);
  /** Blocks whose checksums were right once. */
  #summed: Uint8Array = new Uint8Array(0);
  #seenAt = -Infinity;
  readonly #head = Buffer.allocUnsafe(HEAD);
  readonly #tail = Buffer.allocUnsafe(LONE_RESTARTS + TRAILER);

  private constructor(fd: number, size: number, lastSequence: number) {
    this.#fd = fd;
    this.#size = size;
    this.#lastSequence = lastSequence;
  }

  /**
   * Undefined: it is gone.
   * @param lastSequence of a change that was durable when the table was there
   * @throws the file system's error
   */
  static open(
    folder: string,
    { number, size }: { number: number; size: number },
    lastSequence: number,
  ): TableBlocks | undefined {
    for (const name of tableNames(number))
      try {
        return new TableBlocks(openSync(join(folder, name), 'r'), size, lastSequence);
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
      }
    return undefined;
  }

  get count(): number {
    return this.#restarts.length;
  }

  /** Of its file now. */
  fileState(): FileState {
    return fstatSync(this.#fd, { bigint: true });
  }

  /** On another thread: the last close of a removed file waits for the disk to free its space. */
  close(): void {
    close(this.#fd, () => undefined);
  }

  /** Of the index and what leads to it, at most once a second. */
  indexProblem(): BadTableBlock | undefined {
    const now = performance.now();
    if (now - this.#seenAt < INDEX_FRESH) return undefined;
    try {
      this.#readIndex();
      this.#seenAt = now;
      return undefined;
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      return { offset: this.#index?.offset ?? this.#size - FOOTER, problem: error.message };
    }
  }

  /** As LevelDB looks for a key. */
  look(key: Uint8Array): LookedAt {
    const bad = this.indexProblem();
    if (bad !== undefined) return { bad, holds: false };
    const at = this.blockOf(key);
    if (at === this.count) return { bad: undefined, holds: false };
    return this.#lookAt(at, key);
  }

  /** The first block that may have the key or one above it; `count` where there is none. */
  blockOf(key: Uint8Array): number {
    return firstAt(this.count, (at) => Buffer.compare(this.#entry(at).last, key) >= 0);
  }

  /** The last key that a block may hold. */
  lastOf(at: number): Uint8Array {
    return this.#entry(at).last;
  }

  blockProblem(at: number): BadTableBlock | undefined {
    return this.#lookAt(at, NOTHING).bad;
  }

  /** As `blockProblem`, and that the key is the one that was written is taken on trust: no value is read. */
  structureProblem(at: number): BadTableBlock | undefined {
    const { last, ...handle } = this.#entry(at);
    const found = handle.size <= SMALL ? undefined : this.#loneKey(handle);
    const above = at === 0 ? NOTHING : this.#entry(at - 1).last;
    if (found !== undefined && Buffer.compare(found, above) >= 0 && Buffer.compare(found, last) <= 0)
      return undefined;
    return this.blockProblem(at);
  }

  #lookAt(at: number, key: Uint8Array): LookedAt {
    const { last, ...handle } = this.#entry(at);
    const above = at === 0 ? NOTHING : this.#entry(at - 1).last;
    const found = handle.size <= SMALL ? undefined : this.#loneKey(handle);
    if (found !== undefined) {
      if (Buffer.compare(found, key) === 0) return { bad: undefined, holds: true };
      // The key may be another than was written: LevelDB would go on to an older value.
      const isBetween = Buffer.compare(found, above) >= 0 && Buffer.compare(found, last) <= 0;
      if (isBetween && this.#summed[at] === 1) return { bad: undefined, holds: false };
    }
    const bytes = this.#read(handle.offset, blockBytes(handle));
    const problem = blockProblem(bytes);
    if (problem !== undefined) return { bad: { offset: handle.offset, problem }, holds: false };
    this.#summed[at] = 1;
    let holds = false;
    for (const entry of dataEntries(bytes.subarray(0, -TRAILER)))
      if (Buffer.compare(entry.key, key) === 0) holds = true;
    return { bad: undefined, holds };
  }

  /** The key of a block that holds one value and is well but for that; undefined: it is none such. */
  #loneKey({ offset, size }: BlockHandle): Uint8Array | undefined {
    const [head, tail] = [this.#head, this.#tail];
    if (readSync(this.#fd, head, 0, HEAD, offset) < HEAD) return undefined;
    if (readSync(this.#fd, tail, 0, tail.length, offset + size - LONE_RESTARTS) < tail.length)
      return undefined;
    // One restart point, at 0, and no compression.
    if (tail.readUInt32LE(0) !== 0 || tail.readUInt32LE(4) !== 1 || tail[LONE_RESTARTS] !== 0)
      return undefined;
    const reader = new VarintReader(head);
    const [common, rest, length] = [reader.number(), reader.number(), reader.number()];
    const internal = unpackInternalKey(reader.take(rest));
    if (common !== 0 || reader.overrun || reader.at + length !== size - LONE_RESTARTS) return undefined;
    if (internal?.type !== VALUE || internal.sequence > this.#lastSequence) return undefined;
    return isPoolKey(internal.key) ? internal.key : undefined;
  }

  /** @throws BlockError */
  #readIndex(): void {
    const index = indexHandle(this.#read(Math.max(0, this.#size - FOOTER), FOOTER));
    this.#index = index;
    if (index.offset + blockBytes(index) > this.#size) throw new BlockError('its footer is damaged');
    const bytes = this.#read(index.offset, blockBytes(index));
    if (bytes.equals(this.#bytes)) return;
    const problem = blockProblem(bytes);
    if (problem !== undefined) throw new BlockError(`its index is damaged (${problem})`);
    const contents = bytes.subarray(0, -TRAILER);
    const count = contents.readUInt32LE(contents.length - 4);
    const from = contents.length - 4 * (count + 1);
    if (from < 0) throw new BlockError('its index is damaged');
    // Each entry of an index is a restart point (table_builder.cc).
    this.#restarts = Uint32Array.from({ length: count }, (_, at) => contents.readUInt32LE(from + 4 * at));
    this.#summed = new Uint8Array(count);
    this.#bytes = bytes;
  }

  #entry(at: number): BlockHandle & { readonly last: Uint8Array } {
    const reader = new VarintReader(this.#bytes, this.#restarts[at]);
    const [, rest] = [reader.number(), reader.number(), reader.number()];
    const last = unpackInternalKey(reader.take(rest))?.key ?? NOTHING;
    return { last, offset: reader.number(), size: reader.number() };
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(0, readSync(this.#fd, bytes, 0, length, at));
  }
}

/** The kind of a key that has a value (db/dbformat.h). */
const VALUE = 1;
const NOTHING: Buffer = Buffer.alloc(0);
