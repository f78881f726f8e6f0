import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, type ThinError } from '../errors/thin-error.js';
import { describeKey, kindOf } from '../format/keys.js';
import { damagedStore } from './level-errors.js';
import { tableNames } from './level-folder.js';
import { readManifest, type TableEntry } from './level-manifest.js';
import { TableBlocks } from './level-table-blocks.js';
import { blockBytes, BlockError, blockProblem, readOutline, type DataBlock } from './level-table.js';

/**
 * How much of the tables is read. `metadata`: what leads to the values, and all values but chunks and their
 * patches, about a thousandth of a pool; and of these `SOME_CHUNK_BYTES`, so that of a small pool it is all.
 * `all`: every byte.
 */
export type FileDepth = 'metadata' | 'all';

/** Of the tables that a compaction takes first. */
const SOME_CHUNK_BYTES = 64 * 2 ** 20;
/** Bytes of neighbouring blocks that are read at once. */
const READ_BYTES = 2 ** 20;

/** Whether a table is there and has its length. The store may be open and change meanwhile. */
export async function lengthProblem(path: string, table: TableEntry): Promise<ThinError | undefined> {
  const found = await openTable(path, table.number);
  if (found === undefined) {
    // A compaction may have taken its place since MANIFEST was read.
    const { tables } = await readManifest(path);
    return tables.has(table.number)
      ? damagedStore(path, `its table ${tableNames(table.number)[0]} is missing`)
      : undefined;
  }
  const { size } = await found.file.stat().finally(() => found.file.close());
  if (size === table.size) return undefined;
  const sizes = `${size} bytes where ${table.size} were written`;
  return damagedStore(path, `its table ${found.name} has ${sizes}`);
}

interface TableReading {
  readonly depth: FileDepth;
  /** Awaited after each piece, with the milliseconds that it took. */
  readonly rest?: ((worked: number) => Promise<unknown>) | undefined;
}

/** What is damaged in tables that are there, as `lengthProblem` says. @throws the file system's error */
export async function* damagedTables(
  path: string,
  tables: readonly TableEntry[],
  { depth, rest }: TableReading,
): AsyncGenerator<ThinError> {
  let left = depth === 'all' ? Infinity : SOME_CHUNK_BYTES;
  const through = compactedThrough(tables);
  for (const table of [...tables].sort((a, b) => a.level - b.level)) {
    const sums = left >= table.size;
    yield* damagedParts(path, table, { sums, rest });
    if (!sums && table.level <= through) {
      const problem = structureProblem(path, table);
      if (problem !== undefined) yield problem;
    }
    left -= table.size;
  }
}

/** Of what a compaction reads: the ends of each block, about a sixteenth. */
function structureProblem(path: string, table: TableEntry): ThinError | undefined {
  const blocks = TableBlocks.open(path, table, Infinity);
  // Its index is known to be well.
  if (blocks === undefined || blocks.indexProblem() !== undefined) return undefined;
  try {
    for (let at = 0; at < blocks.count; at++) {
      const bad = blocks.structureProblem(at);
      if (bad !== undefined)
        return damagedStore(
          path,
          `its table ${tableNames(table.number)[0]} is damaged at byte ${bad.offset} (${bad.problem})`,
        );
    }
    return undefined;
  } finally {
    blocks.close();
  }
}

/**
 * Bytes of level 1 at which LevelDB compacts; each further level has ten times as many (db/version_set.cc).
 */
const LEVEL_BYTES = 10 * 2 ** 20;
/** Tables of level 0. Two, for opening may write two logs out as tables. */
const LEVEL_TABLES = 4 - 2;

/** The last level that a compaction reads which opening the store begins; -1: it begins none. */
function compactedThrough(tables: readonly TableEntry[]): number {
  const bytes: number[] = [];
  for (const { level, size } of tables) bytes[level] = (bytes[level] ?? 0) + size;
  const newest = tables.filter(({ level }) => level === 0).length;
  let through = newest >= LEVEL_TABLES ? 1 : -1;
  for (let level = 1; level < bytes.length; level++)
    if ((bytes[level] ?? 0) >= LEVEL_BYTES * 10 ** (level - 1)) through = level + 1;
  return through;
}

async function* damagedParts(
  path: string,
  table: TableEntry,
  { sums, rest }: { readonly sums: boolean } & Pick<TableReading, 'rest'>,
): AsyncGenerator<ThinError> {
  const found = await openTable(path, table.number);
  if (found === undefined) return;
  const { file, name } = found;
  try {
    const { blocks } = await readOutline(file, table.size);
    const wanted = sums ? blocks : blocks.filter((block) => !holdsOnlyChunks(block, table));
    for await (const { block, problem } of badBlocks(file, wanted, rest))
      yield damagedStore(
        path,
        `its table ${name} is damaged at byte ${block.offset} (${problem}): ${keysOf(block, table)}`,
      );
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    yield damagedStore(path, `its table ${name} is damaged: ${error.message}`);
  } finally {
    await file.close();
  }
}

export interface BadBlock {
  readonly block: DataBlock;
  readonly problem: string;
}

/** Those of the blocks, ascending, that are not as they were written. */
async function* badBlocks(
  file: FileHandle,
  blocks: readonly DataBlock[],
  rest: TableReading['rest'],
): AsyncGenerator<BadBlock> {
  let buffer = Buffer.alloc(0);
  for (let at = 0; at < blocks.length;) {
    const run = neighbours(blocks, at);
    at += run.length;
    const began = performance.now();
    const start = run[0]!.offset;
    const length = run.at(-1)!.offset + blockBytes(run.at(-1)!) - start;
    if (buffer.length < length) buffer = Buffer.allocUnsafe(Math.max(length, READ_BYTES));
    const { bytesRead } = await file.read(buffer, 0, length, start);
    for (const block of run) {
      const from = block.offset - start;
      const problem = blockProblem(buffer.subarray(from, Math.min(from + blockBytes(block), bytesRead)));
      if (problem !== undefined) yield { block, problem };
    }
    await rest?.(performance.now() - began);
  }
}

/** From `at` on, side by side, and not too many bytes of them. */
function neighbours(blocks: readonly DataBlock[], at: number): readonly DataBlock[] {
  let end = at + 1;
  while (
    end < blocks.length &&
    blocks[end]!.offset === blocks[end - 1]!.offset + blockBytes(blocks[end - 1]!) &&
    blocks[end]!.offset + blockBytes(blocks[end]!) - blocks[at]!.offset <= READ_BYTES
  )
    end++;
  return blocks.slice(at, end);
}

/**
 * The keys that a block may hold: above the first, up to the second; what MANIFEST says of its table is
 * nearer at either end of it.
 */
export function reachOf(block: DataBlock, table: TableEntry): readonly [Uint8Array, Uint8Array] {
  const from = block.above.length === 0 ? table.first : block.above;
  return [from, Buffer.compare(block.last, table.last) > 0 ? table.last : block.last];
}

function holdsOnlyChunks(block: DataBlock, table: TableEntry): boolean {
  const kinds = reachOf(block, table).map(kindOf);
  return kinds[0] === kinds[1] && (kinds[0] === 'chunk' || kinds[0] === 'chunk-patch');
}

function keysOf(block: DataBlock, table: TableEntry): string {
  const [first, last] = reachOf(block, table).map(describeKey);
  return first === last ? `${first} is lost` : `what lies from ${first} to ${last} is lost`;
}

/** Undefined: there is none. */
export async function openTable(
  path: string,
  number: number,
): Promise<{ file: FileHandle; name: string } | undefined> {
  for (const name of tableNames(number)) {
    try {
      return { file: await open(join(path, name), 'r'), name };
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return undefined;
}
