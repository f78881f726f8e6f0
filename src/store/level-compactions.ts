import type { TableEntry } from './level-manifest.js';
import { firstReaching } from './level-tables.js';

/** Tables of level 0 at which they are merged into level 1 (db/dbformat.h, kL0_CompactionTrigger). */
const MOST_AT_0 = 4;
/** Bytes of level 1; each further one has ten times as many (db/version_set.cc, MaxBytesForLevel). */
const BYTES_AT_1 = 10 * 2 ** 20;
/** The last level that a write buffer may be flushed to (kMaxMemCompactLevel). */
const FLUSHED_TO = 2;

interface KeyRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/**
 * The tables that LevelDB may read by itself while it takes in so many bytes: those of level 0 where they
 * become too many, of each other level that becomes too large those behind its compact pointer, and all that
 * these are merged with (db/version_set.cc, Finalize and PickCompaction). Some more than it will read, and
 * no more than in proportion to what it will.
 * @param levels as `LevelTables` has them
 * @param pointers by level
 * @param incoming bytes that may be flushed to tables
 */
export function tablesDue(
  levels: readonly (readonly TableEntry[])[],
  pointers: ReadonlyMap<number, Uint8Array>,
  incoming: number,
): ReadonlySet<TableEntry> {
  const due = new Set<TableEntry>();
  const [flushed = []] = levels;
  let arriving = 0;
  // Two more: what is in memory, and what is being written out.
  if (flushed.length + 2 >= MOST_AT_0) {
    arriving = incoming + sizeOf(flushed);
    addMerged(due, levels, 0, hullOf(flushed));
  }
  for (let level = 1, most = BYTES_AT_1; level < levels.length; level++, most *= 10) {
    const tables = levels[level]!;
    const over = sizeOf(tables) + arriving + (level <= FLUSHED_TO ? incoming : 0) - most;
    arriving = Math.max(0, over);
    if (over <= 0) continue;
    for (const run of runsBehind(tables, pointers.get(level), over))
      addMerged(due, levels, level, hullOf(run));
  }
  return due;
}

/**
 * What a compaction of this table alone reads. One that lies over no table of the next level is moved there
 * as it is, and its next compaction is the one that reads.
 */
export function tablesBelow(
  levels: readonly (readonly TableEntry[])[],
  table: TableEntry,
): ReadonlySet<TableEntry> {
  const merged = new Set<TableEntry>([table]);
  addMerged(merged, levels, table.level, table);
  for (let level = table.level + 1; level < levels.length && merged.size === 1; level++)
    for (const below of overlapping(levels[level]!, table)) merged.add(below);
  return merged;
}

/** All tables that have keys in the range, and what these are merged with. */
export function tablesIn(
  levels: readonly (readonly TableEntry[])[],
  range: KeyRange,
): ReadonlySet<TableEntry> {
  const found = new Set<TableEntry>();
  for (const level of levels.keys()) addMerged(found, levels, level, range);
  return found;
}

/**
 * The inputs grow where that brings no more tables of the next level (SetupOtherInputs): so twice.
 */
function addMerged(
  into: Set<TableEntry>,
  levels: readonly (readonly TableEntry[])[],
  level: number,
  range: KeyRange | undefined,
): void {
  let reached = range;
  for (let step = 0; step < 2 && reached !== undefined; step++) {
    const own = overlapping(levels[level] ?? [], reached);
    if (own.length === 0) return;
    const below = overlapping(levels[level + 1] ?? [], hullOf([...own, ...asTables(reached)])!);
    for (const table of [...own, ...below]) into.add(table);
    reached = hullOf([...own, ...below]);
  }
}

function asTables({ first, last }: KeyRange): readonly KeyRange[] {
  return [{ first, last }];
}

function overlapping(tables: readonly TableEntry[], { first, last }: KeyRange): readonly TableEntry[] {
  const isWithin = (table: TableEntry): boolean =>
    Buffer.compare(table.last, first) >= 0 && Buffer.compare(table.first, last) <= 0;
  if (tables[0]?.level === 0) return tables.filter(isWithin);
  const from = firstReaching(tables, first);
  let to = from;
  while (to < tables.length && isWithin(tables[to]!)) to++;
  return tables.slice(from, to);
}

/** Neighbours behind the pointer, and round the end, up to so many bytes. */
function runsBehind(
  tables: readonly TableEntry[],
  pointer: Uint8Array | undefined,
  bytes: number,
): readonly (readonly TableEntry[])[] {
  const from = pointer === undefined ? 0 : firstReaching(tables, pointer);
  const take = (at: number, end: number, most: number): { run: readonly TableEntry[]; left: number } => {
    let left = most;
    let to = at;
    while (to < end && left > 0) left -= tables[to++]!.size;
    return { run: tables.slice(at, to), left };
  };
  const { run, left } = take(from, tables.length, bytes);
  return [run, take(0, from, left).run].filter(({ length }) => length > 0);
}

function hullOf(ranges: readonly KeyRange[]): KeyRange | undefined {
  const [one, ...others] = ranges;
  if (one === undefined) return undefined;
  let { first, last } = one;
  for (const other of others) {
    if (Buffer.compare(other.first, first) < 0) first = other.first;
    if (Buffer.compare(other.last, last) > 0) last = other.last;
  }
  return { first, last };
}

function sizeOf(tables: readonly TableEntry[]): number {
  return tables.reduce((sum, { size }) => sum + size, 0);
}
