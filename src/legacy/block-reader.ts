/** Where metadata blocks come from. */
export interface BlockReader {
  /** What the source is called in messages. */
  readonly path: string;
  /** Blocks of 4096 bytes that are there. */
  readonly blocks: number;
  /** 4096 bytes, in `into` or a fresh buffer. Errors: damaged (no such block, or it cannot be read). */
  read(block: number, into?: Buffer): Buffer;
}

/** A range that is not there at all, and why. Bytes; `end` may be Infinity. */
export interface Gap {
  readonly begin: number;
  readonly end: number;
  readonly problem: string;
}

/** Where data blocks come from; only ever read. */
export interface DataReader {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /**
   * What is known to be missing of [begin, end) without a look at it: ascending, inside it. What cannot be
   * read turns out when it is.
   */
  gaps(begin: number, end: number): readonly Gap[];
  /** Fills all of `into`. Errors: damaged (past the end, or unreadable). */
  read(offset: number, into: Uint8Array): Promise<void>;
}
