import type { BlockReader } from './block-reader.js';
import { METADATA_BLOCK } from './disk-block.js';
import type { DiskReader } from './disk-reader.js';

/** Blocks that are read at once where many are asked for in order, and at first. */
const MOST = 64;
const FEWEST = 4;
/** So many blocks may be left out, and it is still in order: a tree's upper nodes lie between its leaves. */
const NEAR = 4;

/**
 * The metadata blocks that lie on a disk. Where they are asked for in ascending order, the following ones are
 * read along: a call for each block took a third of what `thin_dump` takes for all. None is kept that was
 * passed, so that a second read of a block returns its present content.
 */
export class DiskBlocks implements BlockReader {
  readonly #disk: DiskReader;
  #ahead: Buffer | undefined;
  /** Blocks [#begin, #end) are in `#ahead`. */
  #begin = 0;
  #end = 0;
  /** The block that comes next in order. */
  #next = -NEAR;
  #step = FEWEST;

  constructor(disk: DiskReader) {
    this.#disk = disk;
  }

  get path(): string {
    return this.#disk.path;
  }

  get blocks(): number {
    return Math.floor(this.#disk.size / METADATA_BLOCK);
  }

  read(block: number, into: Buffer = Buffer.allocUnsafe(METADATA_BLOCK)): Buffer {
    const isInOrder = block >= this.#next && block < this.#next + NEAR;
    this.#next = block + 1;
    if (!isInOrder) this.#forget();
    else if (block >= this.#end) this.#readAhead(block);
    if (block >= this.#end) return this.#disk.readSync(block * METADATA_BLOCK, METADATA_BLOCK, into);
    const at = (block - this.#begin) * METADATA_BLOCK;
    this.#ahead!.copy(into, 0, at, at + METADATA_BLOCK);
    return into;
  }

  #readAhead(block: number): void {
    const count = Math.max(0, Math.min(this.#step, this.blocks - block));
    this.#ahead ??= Buffer.allocUnsafe(MOST * METADATA_BLOCK);
    try {
      this.#disk.readSync(
        block * METADATA_BLOCK,
        count * METADATA_BLOCK,
        this.#ahead.subarray(0, count * METADATA_BLOCK),
      );
    } catch {
      // One of them cannot be read. Whether it is the one that was asked for turns out when it is read alone.
      this.#forget();
      return;
    }
    this.#begin = block;
    this.#end = block + count;
    this.#step = Math.min(this.#step * 2, MOST);
  }

  #forget(): void {
    this.#end = 0;
    this.#step = FEWEST;
  }
}
