import type { DataReader, Gap } from './block-reader.js';

/** Bytes of a file or a block device. */
export interface DiskPlace {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** A disk, a partition or a volume; only ever read. */
export interface DiskReader extends DataReader {
  /** In `into`, which has that length, or a fresh buffer. Errors: damaged (past the end, or unreadable). */
  readSync(offset: number, length: number, into?: Buffer): Buffer;
  /** Where bytes [begin, end) of it are, in order; what is nowhere is left out. */
  places(begin: number, end: number): Iterable<DiskPlace>;
}

/** The part of [begin, end) behind `size`, where `path` is over. */
export function gapBehind(size: number, begin: number, end: number, path: string): readonly Gap[] {
  return end <= size ? [] : [{ begin: Math.max(begin, size), end, problem: `${path} ends before it` }];
}

/** A part of a disk, as a disk of its own. `size` is cut where the disk ends. */
export class DiskPart implements DiskReader {
  readonly path: string;
  readonly size: number;
  readonly #disk: DiskReader;
  readonly #begin: number;

  constructor(disk: DiskReader, begin: number, size: number, path: string) {
    this.#disk = disk;
    this.#begin = begin;
    this.size = Math.max(0, Math.min(size, disk.size - begin));
    this.path = path;
  }

  gaps(begin: number, end: number): readonly Gap[] {
    return gapBehind(this.size, begin, end, this.path);
  }

  readSync(offset: number, length: number, into?: Buffer): Buffer {
    return this.#disk.readSync(this.#begin + offset, length, into);
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#disk.read(this.#begin + offset, into);
  }

  places(begin: number, end: number): Iterable<DiskPlace> {
    return this.#disk.places(this.#begin + begin, this.#begin + Math.min(end, this.size));
  }
}
