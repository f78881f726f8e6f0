import { threadInts } from '../threads/dirty-map.js';

/** Words of a sheet: blocks of a sheet of mappings, or sheets of a directory. */
export const SHEET_WORDS = 1024;
export const SHEET_BYTES = 4 * SHEET_WORDS;
/** A number of a sheet is never one of these: see mapping-table.ts. */
const FIRST_SHEET = 2;

/**
 * The memory of all mapping tables of a pool: sheets of 4 KiB in one shared buffer, so that its bound is the
 * pool's and a sheet that a device releases may be another's at once. Threads look at `memory` alone; the
 * rest is the pool thread's.
 */
export class TableSheets {
  /** Untouched parts cost no memory. */
  readonly memory: Int32Array;
  readonly #end: number;
  #next = FIRST_SHEET;
  readonly #free: number[] = [];
  /**
   * Directories whose sheets are free too, and are found when they are needed: a large table is released at
   * once.
   */
  readonly #dropped: number[] = [];

  /** @param sheets that there can be at once */
  constructor(sheets: number) {
    this.memory = threadInts((sheets + FIRST_SHEET) * SHEET_WORDS);
    this.#end = sheets + FIRST_SHEET;
  }

  /** A sheet of which every word is `value`; undefined: all are in use. */
  take(value: number): number | undefined {
    const sheet = this.#free.pop() ?? this.#takeDropped() ?? this.#takeNew();
    if (sheet !== undefined) this.memory.fill(value, sheet * SHEET_WORDS, (sheet + 1) * SHEET_WORDS);
    return sheet;
  }

  /** Frees the sheet and those that it names. No thread looks at them any more. */
  freeDirectory(sheet: number): void {
    this.#dropped.push(sheet);
  }

  #takeDropped(): number | undefined {
    const directory = this.#dropped.pop();
    if (directory === undefined) return undefined;
    const start = directory * SHEET_WORDS;
    for (const word of this.memory.subarray(start, start + SHEET_WORDS))
      if (word >= FIRST_SHEET) this.#free.push(word);
    return directory;
  }

  #takeNew(): number | undefined {
    return this.#next < this.#end ? this.#next++ : undefined;
  }
}
