import { IMAGE_BLOCK } from '../format/remote-image.js';

/** A part of an image, put together. */
export interface ImagePiece {
  readonly block: number;
  readonly bytes: Uint8Array;
}

/** A chunk's worth of blocks that comes together. */
export class Piece {
  missing = 0;
  readonly #first: number;
  readonly #done = new Set<number>();
  #bytes: Uint8Array | undefined;

  constructor(first: number) {
    this.#first = first;
  }

  isDone(block: number): boolean {
    return this.#done.has(block);
  }

  /** @returns whether it is complete */
  add(block: number, plain: Uint8Array, blocksEach: number): boolean {
    this.#bytes ??= new Uint8Array(blocksEach * IMAGE_BLOCK);
    this.#bytes.set(plain, (block - this.#first) * IMAGE_BLOCK);
    this.#done.add(block);
    return this.#done.size === this.missing;
  }

  finish(blocksEach: number): ImagePiece {
    const bytes = this.#bytes ?? new Uint8Array(blocksEach * IMAGE_BLOCK);
    this.#bytes = undefined;
    return { block: this.#first, bytes };
  }
}
