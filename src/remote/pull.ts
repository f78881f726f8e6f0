import { ThinError } from '../errors/thin-error.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import type { CodecPool } from './codec-pool.js';
import type { ImageReader } from './image-reader.js';
import { SEGMENT_BLOCKS } from './index-segment.js';
import type { StoredImage } from './manifest.js';
import { rangesOf, type PackRange } from './pack-ranges.js';

/** Requests on their way: with what is unpacked and written, 64 MiB. */
const PARALLEL = 12;

export interface PullParts {
  readonly reader: ImageReader;
  readonly image: StoredImage;
  readonly codecs: CodecPool;
  /** Takes whole blocks, but for the device's last; no two calls of one place. */
  readonly write: (offset: number, bytes: Uint8Array) => Promise<void>;
  readonly signal: AbortSignal;
  /** In bytes of the blocks that are not all zeroes. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

/** Fetches all of an image, many requests at a time; nothing is written that is not what was pushed. */
export class FullPull {
  readonly #parts: PullParts;
  #done = 0;
  #fetched = 0;

  constructor(parts: PullParts) {
    this.#parts = parts;
  }

  /**
   * Bytes that were fetched, and that were written. Errors: damaged; as those of the store and the device.
   */
  async run(): Promise<{ readonly fetched: number; readonly written: number }> {
    const batches = this.#batches();
    let isFailed = false;
    const worker = async (): Promise<void> => {
      try {
        for (let next = await batches.next(); next.done !== true && !isFailed; next = await batches.next())
          await this.#fetch(next.value);
      } catch (error) {
        isFailed = true;
        throw error;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return { fetched: this.#fetched, written: this.#done };
  }

  async *#batches(): AsyncGenerator<PackRange> {
    const { reader, image } = this.#parts;
    const blocksOf = image.manifest.device.size / IMAGE_BLOCK;
    for (const index of image.manifest.indexes) {
      const first = index.segment * SEGMENT_BLOCKS;
      const segment = await reader.segment(index);
      const blocks = [...segment].map(([block, place]) => ({ block: first + block, place }));
      if (blocks.some(({ block }) => block >= blocksOf))
        throw new ThinError(
          'damaged',
          `${reader.store.url}: index ${index.digest} has blocks behind the device's end`,
        );
      yield* rangesOf(blocks);
    }
  }

  async #fetch({ blocks, offset, end }: PackRange): Promise<void> {
    const { reader, image, codecs, write, signal, onProgress } = this.#parts;
    signal.throwIfAborted();
    const { pack } = blocks[0]!.place;
    const bytes = await reader.store.read('pack', pack, { offset, length: end - offset }, signal);
    this.#fetched += bytes.length;
    const path = `${reader.store.url}: pack ${pack}`;
    const plain = await codecs.decode(
      blocks.map(({ place }) => ({
        stored: bytes.subarray(place.offset - offset, place.offset - offset + place.length),
        name: place.name,
        path,
      })),
    );
    const { size } = image.manifest.device;
    for (const [index, { block }] of blocks.entries()) {
      const at = block * IMAGE_BLOCK;
      const length = Math.min(IMAGE_BLOCK, size - at);
      await write(at, plain.subarray(index * IMAGE_BLOCK, index * IMAGE_BLOCK + length));
      this.#done += length;
    }
    const total = image.manifest.indexes.reduce((sum, index) => sum + index.blocks, 0) * IMAGE_BLOCK;
    onProgress?.({ done: this.#done, total });
  }
}
