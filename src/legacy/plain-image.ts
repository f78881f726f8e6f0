import { ThinError } from '../errors/thin-error.js';
import type { DiskReader } from './disk-reader.js';
import { readNoting, type LostData } from './lost-data.js';
import { UnwrittenImage } from './unwritten-image.js';

/** An ordinary volume of an old disk as an image file that nothing can change. */
export class PlainImage extends UnwrittenImage {
  readonly size: number;
  readonly mappedBytes: number;
  readonly #disk: DiskReader;
  readonly #lost: LostData | undefined;

  /** `lost`: where what cannot be read is kept, and reads as zeroes; without it, it is an error. */
  constructor(disk: DiskReader, lost?: LostData) {
    super();
    this.#disk = disk;
    this.#lost = lost;
    this.size = disk.size;
    this.mappedBytes = disk.size;
  }

  /** Errors: damaged. */
  read(offset: number, into: Uint8Array): Promise<void> {
    return readNoting(this.#disk, offset, into, { at: offset, lost: this.#lost });
  }

  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    if (what === 'hole') return Promise.resolve(this.size);
    return Promise.resolve(offset < this.size ? offset : undefined);
  }

  protected refusal(): ThinError {
    return new ThinError('read-only', `${this.#disk.path} is an old volume and is never written`);
  }
}
