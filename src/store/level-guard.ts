import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import { describeKey } from '../format/keys.js';
import type { KvRange } from './key-value.js';
import { readManifest, type TableEntry } from './level-manifest.js';
import { TableBlocks, type BadTableBlock } from './level-table-blocks.js';

/** Milliseconds after which MANIFEST is looked at again. */
const LOOK_AGAIN = 1000;
/** Tables that are open at a time. */
const MOST_OPEN = 500;
/** Blocks, before others have their turn. */
const AT_ONCE = 64;

/**
 * Looks at each block that LevelDB is about to read, before it does: an assertion of LevelDB's ends the
 * process where the structure of a block is not what it expects. It follows the tables as LevelDB makes them,
 * up to a second late.
 */
export class LevelGuard {
  readonly #path: string;
  /** Of level 0 the newest first; of the others ascending. */
  #levels: readonly (readonly TableEntry[])[] = [];
  readonly #open = new Map<number, TableBlocks>();
  #lastSequence = 0;
  #lookedAt = 0;
  #manifestName = '';
  /** What it was when its tables were read. */
  #manifest = '';
  #refreshing: Promise<void> | undefined;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Of a store that this process has open. @throws ThinError damaged, io */
  static async over(path: string): Promise<LevelGuard> {
    const guard = new LevelGuard(path);
    await guard.#refresh();
    return guard;
  }

  /** Before the newest value of a key is read, or one that a snapshot has. @throws ThinError damaged */
  beforeGet(key: Uint8Array, inSnapshot: boolean): void {
    this.#keepUp();
    for (const [level, tables] of this.#levels.entries())
      for (const table of level === 0 ? tables : oneOf(tables, key)) {
        if (!isWithin(key, table)) continue;
        const looked = this.#blocksOf(table)?.look(key);
        if (looked?.bad !== undefined) throw unreadable(key, table, looked.bad);
        // LevelDB looks no further.
        if (looked?.holds === true && !inSnapshot) return;
      }
  }

  /**
   * Before a range is read. An iterator of LevelDB's stands, in each table of level 0 and in each level, on
   * the first key that is not below its range, also where that is beyond it.
   * @throws ThinError damaged
   */
  async beforeRange(range: KvRange): Promise<void> {
    this.#keepUp();
    const [newest = [], ...levels] = this.#levels;
    for (const tables of [...newest.map((table) => [table]), ...levels]) await this.#beforeRun(tables, range);
  }

  async #beforeRun(tables: readonly TableEntry[], { gte, lt }: KvRange): Promise<void> {
    let seen = 0;
    let beyond = 0;
    for (const table of tables) {
      if (Buffer.compare(table.last, gte) < 0) continue;
      const bad = this.#blocksOf(table)?.indexProblem();
      if (bad !== undefined) throw unreadable(gte, table, bad);
      for (let at = this.#blocksOf(table)?.blockOf(gte) ?? 0; ; at++) {
        const blocks = this.#blocksOf(table);
        if (blocks === undefined || at >= blocks.count) break;
        const problem = blocks.blockProblem(at);
        if (problem !== undefined) throw unreadable(blocks.lastOf(at), table, problem);
        if (Buffer.compare(blocks.lastOf(at), lt) >= 0 && ++beyond === 2) return;
        if (++seen % AT_ONCE === 0) await nextTurn();
      }
    }
  }

  /** Resolves when it has nothing open any more. */
  async close(): Promise<void> {
    this.#lookedAt = Infinity;
    await this.#refreshing;
    for (const blocks of this.#open.values()) blocks.close();
    this.#open.clear();
    this.#levels = [];
  }

  /** Undefined: LevelDB has replaced it since. */
  #blocksOf(table: TableEntry): TableBlocks | undefined {
    const known = this.#open.get(table.number);
    if (known !== undefined) return known;
    const opened = TableBlocks.open(this.#path, table, this.#lastSequence);
    if (opened === undefined) return undefined;
    for (const [number, blocks] of this.#open) {
      if (this.#open.size < MOST_OPEN) break;
      blocks.close();
      this.#open.delete(number);
    }
    this.#open.set(table.number, opened);
    return opened;
  }

  #keepUp(): void {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_AGAIN || this.#refreshing !== undefined) return;
    this.#lookedAt = now;
    if (this.#manifest !== '' && this.#manifest === this.#manifestNow()) return;
    this.#refreshing = this.#refresh()
      // What is wrong with MANIFEST is found when the store is opened.
      .catch(() => undefined)
      .finally(() => (this.#refreshing = undefined));
  }

  #manifestNow(): string {
    const { size, ino } = statSync(join(this.#path, this.#manifestName), { throwIfNoEntry: false }) ?? {};
    return `${ino} ${size}`;
  }

  async #refresh(): Promise<void> {
    this.#manifestName = (await readFile(join(this.#path, 'CURRENT'), 'latin1')).trim();
    const now = this.#manifestNow();
    const { tables, lastSequence } = await readManifest(this.#path);
    if (this.#lookedAt === Infinity) return;
    this.#manifest = now;
    this.#lastSequence = lastSequence;
    const levels: TableEntry[][] = [];
    for (const table of tables.values()) {
      while (levels.length <= table.level) levels.push([]);
      levels[table.level]!.push(table);
    }
    levels.forEach((level, at) =>
      level.sort((a, b) => (at === 0 ? b.number - a.number : Buffer.compare(a.first, b.first))),
    );
    this.#levels = levels;
    for (const [number, blocks] of this.#open)
      if (!tables.has(number)) {
        blocks.close();
        this.#open.delete(number);
      }
  }
}

function isWithin(key: Uint8Array, { first, last }: TableEntry): boolean {
  return Buffer.compare(key, first) >= 0 && Buffer.compare(key, last) <= 0;
}

/** Those of a level above 0 that may have the key: versions of one key may reach from a table to the next. */
function* oneOf(tables: readonly TableEntry[], key: Uint8Array): Generator<TableEntry> {
  let [low, high] = [0, tables.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(tables[middle]!.last, key) < 0) low = middle + 1;
    else high = middle;
  }
  for (; low < tables.length && Buffer.compare(tables[low]!.first, key) <= 0; low++) yield tables[low]!;
}

function unreadable(key: Uint8Array, table: TableEntry, { offset, problem }: BadTableBlock): ThinError {
  return damage(
    describeKey(key),
    `the block at byte ${offset} of table ${table.number} that it would be in: ${problem}`,
  );
}
