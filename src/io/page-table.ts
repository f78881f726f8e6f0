import type { ChunkId } from '../format/ids.js';
import type { Mapping } from '../metadata/metadata.js';

/** Blocks that are read out of the tree together. */
const BLOCKS_PER_PAGE = 1024;
const SHARED = 1 << 30;
const CHUNK = SHARED - 1;

/**
 * An active device's mappings unfolded: one 32-bit word a virtual block, zero where unmapped, otherwise chunk + 1 and a bit
 * that says whether it is shared. In shared memory, so that I/O threads can look at the same words. Pages come from the tree
 * when they are first needed, and go when a snapshot makes all of them shared.
 */
export class PageTable {
  #words: Int32Array;
  #loaded: Uint8Array;
  #dirty = new Set<number>();
  readonly #load: (from: number, to: number) => Iterable<Mapping>;

  constructor(blocks: number, load: (from: number, to: number) => Iterable<Mapping>) {
    this.#words = new Int32Array(new SharedArrayBuffer(blocks * 4));
    this.#loaded = new Uint8Array(Math.ceil(blocks / BLOCKS_PER_PAGE));
    this.#load = load;
  }

  get blocks(): number {
    return this.#words.length;
  }

  /** Blocks whose mapping changed since the last `takeDirty`. */
  get dirtyCount(): number {
    return this.#dirty.size;
  }

  /** @throws ThinError damaged, when the page's part of the tree is */
  chunk(block: number): ChunkId | undefined {
    const word = this.#word(block);
    return word === 0 ? undefined : (((word & CHUNK) - 1) as ChunkId);
  }

  isShared(block: number): boolean {
    return (this.#word(block) & SHARED) !== 0;
  }

  /** Publishes a mapping of the device's own, or none. */
  set(block: number, chunk: ChunkId | undefined): void {
    this.#word(block);
    Atomics.store(this.#words, block, chunk === undefined ? 0 : chunk + 1);
    this.#dirty.add(block);
  }

  /** Changed blocks, ascending. */
  takeDirty(): readonly number[] {
    const dirty = [...this.#dirty].sort((x, y) => x - y);
    this.#dirty.clear();
    return dirty;
  }

  /** What could not be taken in after all. */
  keepDirty(blocks: readonly number[]): void {
    for (const block of blocks) this.#dirty.add(block);
  }

  /** Forgets all pages, after the changed ones were taken: the tree knows what is shared now. */
  invalidate(): void {
    this.#loaded.fill(0);
  }

  grow(blocks: number): void {
    const words = new Int32Array(new SharedArrayBuffer(blocks * 4));
    words.set(this.#words);
    const loaded = new Uint8Array(Math.ceil(blocks / BLOCKS_PER_PAGE));
    loaded.set(this.#loaded);
    this.#words = words;
    this.#loaded = loaded;
  }

  #word(block: number): number {
    const page = Math.floor(block / BLOCKS_PER_PAGE);
    if (this.#loaded[page] === 0) this.#loadPage(page);
    return Atomics.load(this.#words, block);
  }

  #loadPage(page: number): void {
    const from = page * BLOCKS_PER_PAGE;
    const to = Math.min(from + BLOCKS_PER_PAGE, this.#words.length);
    this.#words.fill(0, from, to);
    for (const { block, chunk, shared } of this.#load(from, to))
      this.#words[block] = (chunk + 1) | (shared ? SHARED : 0);
    this.#loaded[page] = 1;
  }
}
