import type { ChunkId, DeviceId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import { chunkOf, HOLE, mappedWord, MappingTable, UNKNOWN } from './mapping-table.js';
import { SHEET_WORDS, type TableSheets } from './table-sheets.js';

/**
 * Blocks that one step of a search looks at: some tenths of a millisecond, and the nodes of a leveldb store
 * for so many.
 */
export const SEARCH_STEP = 8192;
/** What asking the tree costs, in blocks looked at. */
const DESCENT = 64;

export interface SearchStep {
  readonly found: boolean;
  /** Words, and as many for what else was asked. */
  readonly looked: number;
  /** The block; where nothing was found: where to go on, or `to`. */
  readonly at: number;
}

export interface MappedBlock {
  readonly block: number;
  readonly chunk: ChunkId;
}

/**
 * The mappings of one active device on the pool thread: the table where something is known there, else the
 * tree.
 */
export class DeviceMappings {
  readonly #device: DeviceId;
  readonly #metadata: Metadata;
  readonly #sheets: TableSheets;
  readonly #searchStep: number;
  #table: MappingTable;

  /** @param parts.blocks that the device has */
  constructor(parts: {
    device: DeviceId;
    metadata: Metadata;
    sheets: TableSheets;
    blocks: number;
    searchStep: number;
  }) {
    this.#device = parts.device;
    this.#metadata = parts.metadata;
    this.#sheets = parts.sheets;
    this.#searchStep = parts.searchStep;
    this.#table = MappingTable.create(parts.blocks, parts.sheets.memory);
  }

  get table(): MappingTable {
    return this.#table;
  }

  /** So that `load` waits for no disk; undefined: it does not. */
  readAhead(block: number): Promise<void> | undefined {
    if (this.isKnown(block)) return undefined;
    const from = block - (block % SHEET_WORDS);
    return this.#metadata.readAhead(this.#device, from, from + SHEET_WORDS);
  }

  /**
   * Has the table know the block, and what else is easily known with it. False where there is no sheet for
   * that. @throws ThinError damaged
   */
  load(block: number): boolean {
    if (this.#table.load(block) !== UNKNOWN) return true;
    const from = block - (block % SHEET_WORDS);
    const to = from + SHEET_WORDS;
    const next = this.#metadata.nextMapped(this.#device, from) ?? Infinity;
    if (next >= to) return this.#table.fillHoles(from, next, this.#sheets);
    const words = new Int32Array(SHEET_WORDS).fill(HOLE);
    for (const mapping of this.#metadata.mappings(this.#device, next, to))
      words[mapping.block - from] = mappedWord(mapping.chunk, mapping.shared);
    return this.#table.fillSheet(block, words, this.#sheets);
  }

  /** As `load`, and the block can be locked. */
  loadWord(block: number): boolean {
    return this.load(block) && this.#table.makeSheet(block, this.#sheets);
  }

  /** `load` has nothing to do. */
  isKnown(block: number): boolean {
    return this.#table.load(block) !== UNKNOWN;
  }

  /** @throws ThinError damaged */
  isMapped(block: number): boolean {
    const word = this.#table.load(block);
    if (word === UNKNOWN) return this.#metadata.nextMapped(this.#device, block, block + 1) !== undefined;
    return word !== HOLE;
  }

  /**
   * Looks for the first block in [from, to) that is mapped, or is not. What is not mapped costs nothing, and
   * what is, is looked at a bounded number of blocks at a time. The table learns nothing by it. @throws
   * ThinError damaged
   */
  search(from: number, to: number, mapped: boolean): SearchStep {
    let at = from;
    let left = this.#searchStep;
    const step = (found: boolean, where: number): SearchStep => ({
      found,
      at: where,
      looked: this.#searchStep - left,
    });
    for (; at < to && left > 0; left--) {
      const { known, end } = this.#table.extent(at);
      const stop = Math.min(end, to);
      if (known === 'holes') {
        if (!mapped) return step(true, at);
        at = stop;
      } else if (known === 'words')
        for (; at < stop; at++, left--) {
          if ((this.#table.load(at) !== HOLE) === mapped) return step(true, at);
        }
      else if (mapped) {
        const next = this.#metadata.nextMapped(this.#device, at, stop);
        if (next !== undefined) return step(true, next);
        at = stop;
        left -= DESCENT;
      } else {
        const most = Math.min(stop, at + left);
        const next = this.#metadata.nextUnmapped(this.#device, at, most);
        if (next < most) return step(true, next);
        left -= DESCENT + next - at;
        at = next;
      }
    }
    return step(false, at);
  }

  /** What is mapped in [from, to), ascending. The table learns nothing by it. @throws ThinError damaged */
  *mapped(from: number, to: number): Generator<MappedBlock> {
    for (let at = from; at < to;) {
      const { known, end } = this.#table.extent(at);
      const stop = Math.min(end, to);
      if (known === 'nothing') yield* this.#metadata.mappings(this.#device, at, stop);
      else if (known === 'words')
        for (let block = at; block < stop; block++) {
          const word = this.#table.load(block);
          if (word !== HOLE) yield { block, chunk: chunkOf(word) };
        }
      at = stop;
    }
  }

  /** No request is in flight. */
  grow(blocks: number): void {
    const larger = this.#table.grown(blocks);
    for (const block of this.#table.takeDirty(0, Infinity).entries) larger.markDirty(block);
    this.#table = larger;
  }

  /** Everything is read from the tree anew. Nothing is dirty, and no request is in flight. */
  forget(): void {
    this.#table.forget(this.#sheets);
  }
}
