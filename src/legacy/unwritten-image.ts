import type { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';

/** What of an old pool is shown as an image file: nothing can change it. */
export abstract class UnwrittenImage implements ImageFile {
  abstract readonly size: number;
  abstract readonly mappedBytes: number;
  readonly modifiedAt = Date.now();
  readonly readOnly = true;

  abstract read(offset: number, into: Uint8Array): Promise<void>;
  abstract seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined>;
  /** Says what it is, and what to do instead. */
  protected abstract refusal(): ThinError;

  write(): never {
    throw this.refusal();
  }

  discard(): never {
    throw this.refusal();
  }

  writeZeroes(): never {
    throw this.refusal();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }
}
