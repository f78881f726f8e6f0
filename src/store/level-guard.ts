import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import { describeKey } from '../format/keys.js';
import type { KvRange } from './key-value.js';
import { ManifestFollower, type TableEntry, type TableWatcher } from './level-manifest.js';
import { firstReaching, LevelTables } from './level-tables.js';
import { TableBlocks, type BadTableBlock } from './level-table-blocks.js';

/** Milliseconds after which MANIFEST is looked at again. */
const LOOK_AGAIN = 1000;
/** Tables that are open at a time. */
const MOST_OPEN = 500;
/** Blocks, before others have their turn. */
const AT_ONCE = 64;
/** LevelDB samples what an iterator reads once a MiB (db/dbformat.h, kReadBytesPeriod). */
const BLOCKS_A_SAMPLE = 16;
/** Reads in vain that a table is allowed, by its bytes (db/version_set.cc, VersionSet::Builder::Apply). */
const LEAST_SEEKS = 100;
const BYTES_A_SEEK = 16384;
const SEEKS_IN_RESERVE = 16;

/**
 * Looks at each block that LevelDB is about to read, before it does: an assertion of LevelDB's ends the
 * process where the structure of a block is not what it expects. It follows the tables as LevelDB makes them,
 * up to a second late.
 */
export class LevelGuard implements TableWatcher {
  readonly #path: string;
  readonly #tables = new LevelTables();
  readonly #follower: ManifestFollower;
  /** Reads that LevelDB may have counted against a table. */
  readonly #charges = new Map<number, number>();
  /** LevelDB must not compact them by itself. */
  readonly #spoiled = new Set<number>();
  readonly #askedAt = new Map<number, number>();
  #onReadOften: (table: number) => void = () => undefined;
  readonly #open = new Map<number, TableBlocks>();
  #lastSequence = 0;
  #lookedAt = 0;
  #manifestName = '';
  /** What it was when its tables were read. */
  #manifest = '';
  #refreshing: Promise<void> | undefined;

  private constructor(path: string) {
    this.#path = path;
    this.#follower = new ManifestFollower(path, this);
  }

  /** Of a store that this process has open. @throws ThinError damaged, io */
  static async over(path: string): Promise<LevelGuard> {
    const guard = new LevelGuard(path);
    await guard.#refresh();
    return guard;
  }

  /**
   * LevelDB compacts a table that it has read in vain often enough (db/version_set.cc, UpdateStats). Told
   * well before, again and again, at most once a second each.
   */
  onReadOften(tell: (table: number) => void): void {
    this.#onReadOften = tell;
  }

  /** Something that a compaction of it would read is damaged: reads fail before LevelDB begins one. */
  spoil(table: number): void {
    this.#spoiled.add(table);
  }

  added(table: TableEntry): void {
    this.#tables.added(table);
  }

  removed(table: TableEntry): void {
    this.#tables.removed(table);
    // One that changes its level is added again at once. Its charges stay: LevelDB counts from the start, and
    // began before this was known.
    this.#askedAt.delete(table.number);
    this.#open.get(table.number)?.close();
    this.#open.delete(table.number);
  }

  /** Before the newest value of a key is read, or one that a snapshot has. @throws ThinError damaged */
  beforeGet(key: Uint8Array, inSnapshot: boolean): void {
    this.#keepUp();
    let first: TableEntry | undefined;
    let isCharged = false;
    for (const [level, tables] of this.#tables.levels.entries())
      for (const table of level === 0 ? tables : oneOf(tables, key)) {
        if (!isWithin(key, table)) continue;
        // The first of several tables that are looked in.
        if (first !== undefined && !isCharged) this.#charge(first, key);
        isCharged = first !== undefined;
        first ??= table;
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
    const [newest = [], ...levels] = this.#tables.levels;
    for (const tables of [...newest.map((table) => [table]), ...levels]) await this.#beforeRun(tables, range);
  }

  async #beforeRun(tables: readonly TableEntry[], { gte, lt }: KvRange): Promise<void> {
    let seen = 0;
    let beyond = 0;
    // A copy: LevelDB may change its tables meanwhile.
    for (const table of tables.slice(firstReaching(tables, gte))) {
      const bad = this.#blocksOf(table)?.indexProblem();
      if (bad !== undefined) throw unreadable(gte, table, bad);
      for (let at = this.#blocksOf(table)?.blockOf(gte) ?? 0; ; at++) {
        const blocks = this.#blocksOf(table);
        if (blocks === undefined || at >= blocks.count) break;
        const problem = blocks.blockProblem(at);
        if (problem !== undefined) throw unreadable(blocks.lastOf(at), table, problem);
        if (Buffer.compare(blocks.lastOf(at), lt) >= 0 && ++beyond === 2) return;
        if (seen % BLOCKS_A_SAMPLE === 0) this.#charge(table, gte);
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
  }

  /** @throws ThinError damaged: one more read, and LevelDB might compact it */
  #charge(table: TableEntry, key: Uint8Array): void {
    const { number, size } = table;
    const charges = (this.#charges.get(number) ?? 0) + 1;
    const allowed = Math.max(LEAST_SEEKS, Math.floor(size / BYTES_A_SEEK));
    if (this.#spoiled.has(number) && charges > allowed - SEEKS_IN_RESERVE)
      throw unreadable(key, table, { offset: 0, problem: 'LevelDB would compact it, and meet damage' });
    this.#charges.set(number, charges);
    if (charges < allowed / 2) return;
    const now = performance.now();
    if (now - (this.#askedAt.get(number) ?? -Infinity) < LOOK_AGAIN) return;
    this.#askedAt.set(number, now);
    this.#onReadOften(number);
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
    const { lastSequence, tables } = await this.#follower.read();
    for (const number of this.#charges.keys()) if (!tables.has(number)) this.#charges.delete(number);
    this.#manifest = now;
    this.#lastSequence = lastSequence;
  }
}

function isWithin(key: Uint8Array, { first, last }: TableEntry): boolean {
  return Buffer.compare(key, first) >= 0 && Buffer.compare(key, last) <= 0;
}

/** Those of a level above 0 that may have the key: versions of one key may reach from a table to the next. */
function* oneOf(tables: readonly TableEntry[], key: Uint8Array): Generator<TableEntry> {
  for (
    let at = firstReaching(tables, key);
    at < tables.length && Buffer.compare(tables[at]!.first, key) <= 0;
    at++
  )
    yield tables[at]!;
}

function unreadable(key: Uint8Array, table: TableEntry, { offset, problem }: BadTableBlock): ThinError {
  return damage(
    describeKey(key),
    `the block at byte ${offset} of table ${table.number} that it would be in: ${problem}`,
  );
}
