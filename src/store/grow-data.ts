import { ThinError } from '../errors/thin-error.js';
import { LABEL_BYTES, labelOffset } from '../format/data-label.js';
import { sizeOfDevice, writeLabelAt, type PoolData } from './data-file.js';
import { dataError } from './file-access.js';

/**
 * The data of a `direct` pool that grows: a file as far as its disk has room, a block device as far as it was enlarged itself. The label goes
 * to the new end first; the old one, which by then lies among the chunks, is zeroed when the superblock tells of the new size, so that
 * the pool finds one of them after a crash at any moment.
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

  /**
   * Durable when it resolves, to what is left to do when the superblock tells of it.
   * Errors: no-space (the device is smaller, or the disk is full), io.
   */
  async grow(chunks: number): Promise<() => Promise<void>> {
    const { handle, label, isBlockDevice } = this.#data;
    const end = chunks * label.blockSize;
    const size = isBlockDevice ? await sizeOfDevice(handle) : (await handle.stat()).size;
    if (isBlockDevice && size < end + LABEL_BYTES)
      throw new ThinError(
        'no-space',
        `${this.#path} has ${String(size)} bytes, and the pool would need ${String(end + LABEL_BYTES)}; enlarge the device first`,
        { details: { path: this.#path } },
      );
    const before = this.#labelAt;
    if (end <= before) return () => Promise.resolve();
    const at = labelOffset(Math.max(size, end + LABEL_BYTES));
    await this.#guard(() => writeLabelAt(handle, at, { ...label, chunks }));
    this.#labelAt = at;
    return () =>
      this.#guard(async () => {
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
