import type { PlacedRun } from '../metadata/mapping-runs.js';
import type { ImageMemory } from './thread-image.js';

/**
 * What a transport serves for one active device: a fixed-size file of blocks. Implemented by `DeviceIo`
 * (io/device-io.ts).
 *
 * Ranges lie inside [0, size); a transport clips reads and refuses writes past the end (EFBIG) before it
 * calls. Requests may overlap in time; two that touch one chunk are carried out one after the other. A method
 * that can finish without waiting returns undefined instead of a promise, so that a transport may answer at
 * once. Errors are ThinErrors; a transport answers with `errno`.
 */
export interface ImageFile {
  /** Where other threads may serve it too: how, as of now. */
  readonly memory?: ImageMemory;
  /** Bytes; a multiple of 512. Grows, never shrinks. */
  readonly size: number;
  /** Bytes of the pool that the device's mappings take: `st_blocks` × 512. */
  readonly mappedBytes: number;
  /** Unix time in milliseconds of the last change, for mtime. */
  readonly modifiedAt: number;
  readonly readOnly: boolean;
  /** Fills all of `into`; unmapped ranges read as zeroes. */
  read(offset: number, into: Uint8Array): Promise<void> | undefined;
  /** `from` is read before the returned promise settles; the caller leaves it alone until then. */
  write(offset: number, from: Uint8Array): Promise<void> | undefined;
  /**
   * Whole chunks inside the range lose their mapping and read as zeroes; partial chunks at its ends are kept
   * as they are.
   */
  discard(offset: number, length: number): Promise<void> | undefined;
  /** The range reads as zeroes afterwards; whole chunks are unmapped. */
  writeZeroes(offset: number, length: number): Promise<void> | undefined;
  /** Everything written before the call is durable when it resolves. */
  flush(): Promise<void>;
  /** lseek(2) SEEK_DATA / SEEK_HOLE at chunk granularity; undefined where SEEK_DATA finds none (ENXIO). */
  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined>;
  /**
   * What it maps now, ascending, in bounded parts, also where no commit has it; nothing writes to it
   * meanwhile. Undefined: it has no chunks. Errors: damaged, closed.
   */
  runs?(): AsyncIterable<readonly PlacedRun[]>;
  /** A thread that serves it saw the pool's stocks run low. */
  lookAfter?(): void;
}

/** The flat folder that a transport shows: one file a device that is active. */
export interface ImageDirectory {
  /** Names in no particular order. */
  names(): readonly string[];
  lookup(name: string): ImageFile | undefined;
  /** Totals for statfs(2), bytes. */
  space(): { readonly total: number; readonly free: number };
  /**
   * A file was opened (+1) or released (-1), for writing or not; a device with open files is busy.
   */
  opened?(name: string, delta: 1 | -1, forWriting: boolean): void;
}
