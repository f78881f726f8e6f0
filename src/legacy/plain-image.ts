import { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';
import type { DiskReader } from './disk-reader.js';
import { readWhatIsThere, type LostData } from './lost-data.js';

/** An ordinary volume of an old disk as an image file that nothing can change. */
export class PlainImage implements ImageFile {
  readonly size: number;
  readonly mappedBytes: number;
  readonly modifiedAt = Date.now();
  readonly readOnly = true;
  readonly #disk: DiskReader;
  readonly #lost: LostData | undefined;

  /** `lost`: where what cannot be read is kept, and reads as zeroes; without it, it is an error. */
  constructor(disk: DiskReader, lost?: LostData) {
    this.#disk = disk;
    this.#lost = lost;
    this.size = disk.size;
    this.mappedBytes = disk.size;
  }

  /** Errors: damaged. */
  read(offset: number, into: Uint8Array): Promise<void> {
    const lost = this.#lost;
    if (lost === undefined) return this.#disk.read(offset, into);
    return readWhatIsThere(this.#disk, offset, into, ({ begin, end, problem }) =>
      lost.add({ begin: offset + begin, end: offset + end, problem }),
    );
  }

  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    if (what === 'hole') return Promise.resolve(this.size);
    return Promise.resolve(offset < this.size ? offset : undefined);
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

  #refusal(): ThinError {
    return new ThinError('read-only', `${this.#disk.path} is an old volume and is never written`);
  }
}
