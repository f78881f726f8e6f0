/** Milliseconds for which a look counts while the file stays as it was. */
const STANDS = 30_000;

/** What tells that a file was written to since. */
export interface FileState {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/**
 * Tables that were found well a moment ago: LevelDB writes a table once, so that what is new in a store is a
 * small part of what a compaction may read. What spoils a file without a write to it, as a disk does, is seen
 * when the look no longer counts.
 */
export class TableLooks {
  readonly #now: () => number;
  readonly #looks = new Map<number, { readonly at: number; readonly state: FileState }>();

  /** @param now milliseconds of a clock that is never set back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether the table, whose file is as `state` says, was found well and the look still counts. */
  isFresh(table: number, state: FileState): boolean {
    const look = this.#looks.get(table);
    return look !== undefined && this.#now() - look.at < STANDS && isSame(look.state, state);
  }

  /** @param state of the file before the look, which began at `at` */
  noteWell(table: number, state: FileState, at: number): void {
    this.#looks.set(table, { at, state });
  }

  /** Forgets tables that LevelDB has no more. */
  keep(tables: { has(table: number): boolean }): void {
    for (const table of this.#looks.keys()) if (!tables.has(table)) this.#looks.delete(table);
  }
}

function isSame(a: FileState, b: FileState): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}
