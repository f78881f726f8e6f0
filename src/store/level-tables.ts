import { firstAt } from '../format/first-at.js';
import type { TableEntry, TableWatcher } from './level-manifest.js';

/** The tables of a store by level, in the order in which LevelDB looks at them. */
export class LevelTables implements TableWatcher {
  readonly #levels: TableEntry[][] = [];

  /** Of level 0 the newest first; of the others ascending. */
  get levels(): readonly (readonly TableEntry[])[] {
    return this.#levels;
  }

  added(table: TableEntry): void {
    while (this.#levels.length <= table.level) this.#levels.push([]);
    const tables = this.#levels[table.level]!;
    tables.splice(placeOf(tables, table), 0, table);
  }

  removed(table: TableEntry): void {
    const tables = this.#levels[table.level] ?? [];
    const at = placeOf(tables, table);
    if (tables[at]?.number === table.number) tables.splice(at, 1);
  }
}

/** Where the table is, or belongs. */
function placeOf(tables: readonly TableEntry[], table: TableEntry): number {
  return firstAt(tables.length, (at) => compare(tables[at]!, table) >= 0);
}

/** Tables of one level never hold the same key twice, but for versions of one key at the end of one. */
function compare(a: TableEntry, b: TableEntry): number {
  if (a.level === 0) return b.number - a.number;
  return Buffer.compare(a.first, b.first) || Buffer.compare(a.last, b.last) || a.number - b.number;
}

/** Of a level above 0, the first table that ends at the key or behind it. */
export function firstReaching(tables: readonly TableEntry[], key: Uint8Array): number {
  return firstAt(tables.length, (at) => Buffer.compare(tables[at]!.last, key) >= 0);
}
