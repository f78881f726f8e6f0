import { METADATA_BLOCK } from './disk-block.js';

/** Where metadata blocks come from. */
export interface BlockReader {
  /** What the source is called in messages. */
  readonly path: string;
  /** Blocks of 4096 bytes that are there. */
  readonly blocks: number;
  /** A fresh buffer of 4096 bytes. Errors: damaged (there is no such block, or it cannot be read). */
  read(block: number): Buffer;
}

/** Where data blocks come from; only ever read. */
export interface DataReader {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Fills all of `into`. Errors: damaged (past the end, or unreadable). */
  read(offset: number, into: Uint8Array): Promise<void>;
}

/** Metadata in memory. */
export class MemoryBlocks implements BlockReader {
  readonly path: string;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, path = 'metadata') {
    this.#bytes = bytes;
    this.path = path;
  }

  get blocks(): number {
    return Math.floor(this.#bytes.length / METADATA_BLOCK);
  }

  read(block: number): Buffer {
    return Buffer.from(this.#bytes.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK));
  }
}
