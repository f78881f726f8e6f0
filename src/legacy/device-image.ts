import { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';
import type { DataReader } from './block-reader.js';
import { legacyDamage } from './legacy-damage.js';
import { readNoting, type LostData } from './lost-data.js';
import type { LegacyTree, LostRange } from './legacy-tree.js';
import { mappedRuns } from './mappings.js';
import { UnwrittenImage } from './unwritten-image.js';

export interface DeviceImageParts {
  /** What the device is called in messages. */
  readonly name: string;
  readonly tree: LegacyTree;
  readonly data: DataReader;
  /** Bytes of a data block. */
  readonly blockSize: number;
  readonly dataBlocks: number;
  /** Bytes. */
  readonly size: number;
  readonly mappedBytes: number;
  /**
   * What the device shows where it maps nothing; nothing, and so zeroes, behind its end. Zeroes unless given.
   */
  readonly origin?: OriginImage | undefined;
  /** What cannot be known or read reads as zeroes, and not as an error; what cannot be read is kept there. */
  readonly lost?: LostData | undefined;
}

/** The external origin of a thin device. */
export type OriginImage = Pick<ImageFile, 'size' | 'read' | 'seek'>;

/** A thin device of an old pool as an image file that nothing can change. */
export class DeviceImage extends UnwrittenImage {
  readonly size: number;
  readonly mappedBytes: number;
  readonly #parts: DeviceImageParts;

  constructor(parts: DeviceImageParts) {
    super();
    this.#parts = parts;
    this.size = parts.size;
    this.mappedBytes = parts.mappedBytes;
  }

  /** Errors: damaged. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const { blockSize } = this.#parts;
    const end = offset + into.length;
    const reads: Promise<void>[] = [];
    let filled = offset;
    for (const run of this.#runs(Math.floor(offset / blockSize), Math.ceil(end / blockSize))) {
      const begin = Math.max(offset, run.begin * blockSize);
      const stop = Math.min(end, (run.begin + run.length) * blockSize);
      reads.push(this.#readBelow(filled, into.subarray(filled - offset, begin - offset)));
      const from = run.data * blockSize + (begin - run.begin * blockSize);
      reads.push(this.#readMapped(begin, from, into.subarray(begin - offset, stop - offset)));
      filled = stop;
    }
    reads.push(this.#readBelow(filled, into.subarray(filled - offset)));
    await Promise.all(reads);
  }

  async seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    const { origin } = this.#parts;
    if (what === 'data') {
      const mapped = this.#mappedData(offset);
      const below =
        origin === undefined || offset >= origin.size ? undefined : await origin.seek(offset, 'data');
      const first = Math.min(mapped ?? Infinity, below ?? Infinity);
      return first < this.size ? first : undefined;
    }
    for (let at = offset; ;) {
      at = this.#mappedEnd(at);
      if (origin === undefined || at >= Math.min(origin.size, this.size)) return at;
      const behind = Math.min((await origin.seek(at, 'hole')) ?? at, this.size);
      if (behind === at) return at;
      at = behind;
    }
  }

  #readMapped(offset: number, from: number, into: Uint8Array): Promise<void> {
    const { data, lost } = this.#parts;
    return readNoting(data, from, into, { at: offset, lost });
  }

  async #readBelow(offset: number, into: Uint8Array): Promise<void> {
    const { origin } = this.#parts;
    const there = origin === undefined ? 0 : Math.max(0, Math.min(into.length, origin.size - offset));
    into.fill(0, there);
    if (there > 0) await origin?.read(offset, into.subarray(0, there));
  }

  /** Where the first mapped byte from `offset` on is. */
  #mappedData(offset: number): number | undefined {
    const { blockSize } = this.#parts;
    for (const run of this.#runs(Math.floor(offset / blockSize), Infinity))
      return Math.max(offset, run.begin * blockSize);
    return undefined;
  }

  /** Where what is mapped from `offset` on ends. */
  #mappedEnd(offset: number): number {
    const { blockSize } = this.#parts;
    let at = offset;
    for (const run of this.#runs(Math.floor(offset / blockSize), Infinity)) {
      if (run.begin * blockSize > at) break;
      at = Math.min(this.size, (run.begin + run.length) * blockSize);
    }
    return at;
  }

  #runs(from: number, to: number): ReturnType<typeof mappedRuns> {
    const { tree, dataBlocks, lost } = this.#parts;
    return mappedRuns(tree, { from, to, dataBlocks, onLost: lost === undefined ? undefined : skip });
  }

  protected refusal(): ThinError {
    return new ThinError(
      'read-only',
      `device ${this.#parts.name} belongs to an old pool, which thinfuse never writes; import the device to change it`,
    );
  }
}

function skip(_lost: LostRange): void {
  // Stays a hole.
}

/** For a device whose mappings cannot be reached at all. */
export function lostDevice(name: string): ThinError {
  return legacyDamage(`device ${name}`, 'the root of its mappings is lost, so nothing of it can be read');
}
