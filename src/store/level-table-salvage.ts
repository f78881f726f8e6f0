import type { FileHandle } from 'node:fs/promises';
import { isPoolKey } from '../format/keys.js';
import { hasLostSeal, sealState } from '../format/sealed-entry.js';
import type { InternalKey } from './level-bytes.js';
import type { TableEntry } from './level-manifest.js';
import { reachOf } from './level-table-check.js';
import {
  BlockError,
  blockBytes,
  blockProblem,
  dataEntries,
  entryEnds,
  readOutline,
  readUpTo,
  type BlockHandle,
} from './level-table.js';

/** What is known to be lost of a table: single keys, or all that may have been between two. */
export type LostKeys =
  | { readonly keys: readonly InternalKey[] }
  /** `from` itself is among them only where `whole` is set. */
  | { readonly from: Uint8Array; readonly to: Uint8Array; readonly whole: boolean };

/** Told of what is in a table, in its order. */
export interface TableSalvage {
  entry(entry: InternalKey & { readonly value: Uint8Array }, block: BlockHandle): void;
  lost(what: LostKeys, problem: string): void;
}

/**
 * Entries, of which the first has its key whole and which has a place at the block's end (LevelDB's
 * `block_restart_interval`).
 */
const RESTART_INTERVAL = 16;

/**
 * Reads all of a table that can be told to be as it was written.
 * @param table what MANIFEST says of it; undefined: nothing is known
 * @throws the file system's error
 */
export async function salvageTable(
  file: FileHandle,
  table: TableEntry | undefined,
  salvage: TableSalvage,
): Promise<void> {
  const { size } = await file.stat();
  try {
    const { blocks } = await readOutline(file, size);
    for (const block of blocks) {
      const bytes = await readUpTo(file, block.offset, blockBytes(block));
      const problem = blockProblem(bytes);
      if (problem === undefined) tellEntries(bytes, block, salvage);
      else
        tellDamaged(
          bytes,
          block,
          table === undefined ? [block.above, block.last] : reachOf(block, table),
          salvage,
        );
    }
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    await salvageInOrder(file, size, table, salvage, error.message);
  }
}

function tellEntries(bytes: Buffer, block: BlockHandle, salvage: TableSalvage): void {
  for (const entry of dataEntries(bytes.subarray(0, block.size))) salvage.entry(entry, block);
}

function tellDamaged(
  bytes: Buffer,
  block: BlockHandle,
  [from, to]: readonly [Uint8Array, Uint8Array],
  salvage: TableSalvage,
): void {
  const where = `block at byte ${block.offset}`;
  const entries = attestedEntries(bytes.subarray(0, block.size), from, to);
  if (entries === undefined) {
    salvage.lost({ from, to, whole: block.offset === 0 }, where);
    return;
  }
  const keys: InternalKey[] = [];
  for (const entry of entries) {
    if (entry.state === 'well') salvage.entry(entry, block);
    else keys.push(entry);
  }
  salvage.lost({ keys }, where);
}

type Attested = InternalKey & { readonly value: Uint8Array; readonly state: 'well' | 'damaged' };

/**
 * The entries of a damaged block, if its structure holds and each value's seal names the key that stands
 * before it: two places agree on each key, so none is wrong. A chunk that takes up the whole block, and whose
 * seal is lost, needs none for that, since its length agrees with the block's.
 */
function attestedEntries(
  contents: Buffer,
  from: Uint8Array,
  to: Uint8Array,
): readonly Attested[] | undefined {
  const found: Attested[] = [];
  try {
    const entries = [...dataEntries(contents)];
    let last = from;
    for (const { type, ...entry } of entries) {
      if (type !== 1 || !isPoolKey(entry.key)) return undefined;
      if (Buffer.compare(entry.key, last) < 0 || Buffer.compare(entry.key, to) > 0) return undefined;
      last = entry.key;
      const state = sealState(entry.key, entry.value);
      if (state === 'foreign' && (entries.length > 1 || !hasLostSeal(entry.key, entry.value)))
        return undefined;
      found.push({ ...entry, type, state: state === 'well' ? 'well' : 'damaged' });
    }
  } catch (error) {
    if (error instanceof BlockError) return undefined;
    throw error;
  }
  return found.length > 0 ? found : undefined;
}

/** Without an index: block after block, as long as each shows where it ends. */
async function salvageInOrder(
  file: FileHandle,
  size: number,
  table: TableEntry | undefined,
  salvage: TableSalvage,
  problem: string,
): Promise<void> {
  let at = 0;
  let last = table?.first ?? new Uint8Array(0);
  let whole = true;
  for (;;) {
    const block = await nextBlock(file, at, size);
    const entries = block === undefined ? [] : [...dataEntries(block.contents)];
    if (block === undefined || !entries.every(({ key }) => isPoolKey(key))) break;
    for (const entry of entries) {
      salvage.entry(entry, block);
      last = entry.key.slice();
      whole = false;
    }
    at = block.offset + blockBytes(block);
  }
  const to = table?.last ?? Uint8Array.of(255);
  if (table === undefined || Buffer.compare(last, to) < 0 || whole)
    salvage.lost({ from: last, to, whole }, problem);
}

type FoundBlock = BlockHandle & { readonly contents: Buffer };

/** Bytes: of nearly every block. */
const USUAL_BYTES = 2 ** 18;

async function nextBlock(file: FileHandle, offset: number, size: number): Promise<FoundBlock | undefined> {
  const most = size - offset;
  const usual = blockAt(await readUpTo(file, offset, Math.min(USUAL_BYTES, most)), offset);
  if (usual !== undefined || most <= USUAL_BYTES) return usual;
  return blockAt(await readUpTo(file, offset, most), offset);
}

/**
 * The block that `bytes` begin with: it ends behind the entry for which its last number, and then its
 * checksum, fit.
 */
function blockAt(bytes: Buffer, offset: number): FoundBlock | undefined {
  let count = 0;
  try {
    for (const end of entryEnds(bytes)) {
      count++;
      const restarts = Math.ceil(count / RESTART_INTERVAL);
      const length = end + 4 * (restarts + 1);
      if (length + 5 > bytes.length) return undefined;
      if (bytes.readUInt32LE(length - 4) !== restarts) continue;
      if (blockProblem(bytes.subarray(0, length + 5)) === undefined)
        return { offset, size: length, contents: bytes.subarray(0, length) };
    }
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  }
  return undefined;
}
