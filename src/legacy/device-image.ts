import { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';
import type { DataReader } from './block-reader.js';
import { legacyDamage } from './legacy-damage.js';
import type { LegacyTree, LostRange } from './legacy-tree.js';
import { mappedRuns } from './mappings.js';

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
  /** What cannot be known reads as zeroes, and not as an error. */
  readonly skipDamaged?: boolean;
}

/** A thin device of an old pool as an image file that nothing can change. */
export class DeviceImage implements ImageFile {
  readonly size: number;
  readonly mappedBytes: number;
  readonly modifiedAt = Date.now();
  readonly readOnly = true;
  readonly #parts: DeviceImageParts;

  constructor(parts: DeviceImageParts) {
    this.#parts = parts;
    this.size = parts.size;
    this.mappedBytes = parts.mappedBytes;
  }

  /** Errors: damaged. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const { blockSize, data } = this.#parts;
    const end = offset + into.length;
    const reads: Promise<void>[] = [];
    let filled = 0;
    for (const run of this.#runs(Math.floor(offset / blockSize), Math.ceil(end / blockSize))) {
      const begin = Math.max(offset, run.begin * blockSize);
      const stop = Math.min(end, (run.begin + run.length) * blockSize);
      into.fill(0, filled, begin - offset);
      filled = stop - offset;
      const from = run.data * blockSize + (begin - run.begin * blockSize);
      reads.push(data.read(from, into.subarray(begin - offset, filled)));
    }
    into.fill(0, filled);
    await Promise.all(reads);
  }

  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    const { blockSize } = this.#parts;
    let at = offset;
    for (const run of this.#runs(Math.floor(offset / blockSize), Infinity)) {
      const begin = run.begin * blockSize;
      if (begin >= this.size) break;
      if (what === 'data') return Promise.resolve(Math.max(at, begin));
      if (begin > at) break;
      at = Math.min(this.size, (run.begin + run.length) * blockSize);
    }
    return Promise.resolve(what === 'data' ? undefined : at);
  }

  write(): never {
    throw this.#refusal();
  }

  discard(): never {
    throw this.#refusal();
  }

  writeZeroes(): never {
    throw this.#refusal();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  #runs(from: number, to: number): ReturnType<typeof mappedRuns> {
    const { tree, dataBlocks, skipDamaged } = this.#parts;
    return mappedRuns(tree, { from, to, dataBlocks, onLost: skipDamaged === true ? skip : undefined });
  }

  #refusal(): ThinError {
    return new ThinError(
      'read-only',
      `device ${this.#parts.name} belongs to an old pool and is never written; import it to change it`,
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
