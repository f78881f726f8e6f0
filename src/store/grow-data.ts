import { ThinError } from '../errors/thin-error.js';
import { endOfChunks, LABEL_BYTES, labelOffset, tailBytes } from '../format/data-label.js';
import { sizeOfDevice } from './data-file.js';
import { writeFirstLabel, writeLastLabel } from './data-labels.js';
import { dataError } from './file-access.js';
import type { PoolData } from './pool-data.js';

/**
 * The data of a `direct` pool that grows: a file as far as its disk has room, a block device as far as it was
 * enlarged itself. The label goes to the new end first; the old one, which by then lies among the chunks, is
 * zeroed when the superblock tells of the new size, so that the pool finds one of them after a crash at any
 * moment.
 */
export class GrowingData {
  readonly #path: string;
  readonly #data: PoolData;
  #labelAt: number;

  constructor(path: string, data: PoolData) {
    this.#path = path;
    this.#data = data;
    this.#labelAt = data.labelAt;
  }

  /** Chunks that a block device has room for as it is now; undefined of a file, which grows with its disk. */
  async room(): Promise<number | undefined> {
    const { handle, isBlockDevice, label } = this.#data;
    if (!isBlockDevice) return undefined;
    const size = await sizeOfDevice(handle);
    return Math.floor((size - label.start - tailBytes(label)) / label.blockSize);
  }

  /**
   * Durable when it resolves, to what is left to do when the superblock tells of it.
   * Errors: no-space (the device is smaller, or the disk is full), io.
   */
  async grow(chunks: number): Promise<() => Promise<void>> {
    const { handle, isBlockDevice } = this.#data;
    const label = { ...this.#data.label, chunks };
    const tail = tailBytes(label);
    const needed = endOfChunks(label) + tail;
    const size = isBlockDevice ? await sizeOfDevice(handle) : (await handle.stat()).size;
    if (isBlockDevice && size < needed)
      throw new ThinError(
        'no-space',
        `${this.#path} has ${size} bytes, and the pool would need ${needed}; enlarge the device first`,
        { details: { path: this.#path } },
      );
    const before = this.#labelAt;
    if (needed <= before + LABEL_BYTES) return () => Promise.resolve();
    const at = labelOffset(Math.max(size, needed));
    const grown = { ...label, last: label.start === 0 ? 0 : at };
    await this.#guard(async () => {
      // A device that grew may hold anything in what came to it.
      const from = Math.max(before + LABEL_BYTES, at + LABEL_BYTES - tail);
      await handle.write(new Uint8Array(at - from), 0, at - from, from);
      await writeLastLabel(handle, at, grown);
    });
    this.#labelAt = at;
    return () =>
      this.#guard(async () => {
        if (label.start !== 0) await writeFirstLabel(handle, grown);
        await handle.write(new Uint8Array(LABEL_BYTES), 0, LABEL_BYTES, before);
      });
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw dataError(error);
    }
  }
}
