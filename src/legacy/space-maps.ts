import { METADATA_BLOCK } from './disk-block.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { legacyDamage, pathOf, problemOf } from './legacy-damage.js';
import type { Damage, LegacyPool } from './legacy-pool.js';
import { LegacyTree, type LeafSlice } from './legacy-tree.js';
import type { MappingCensus } from './mapping-census.js';
import { countTree, type Counts } from './reference-counts.js';
import { Bitmap, BITMAP_ENTRIES } from './space-map-bitmap.js';
import {
  INDEX_ENTRIES,
  INDEX_ENTRY_BYTES,
  unpackIndexEntry,
  unpackMetadataIndex,
} from './space-map-index.js';
import type { SpaceMapRoot } from './space-map-root.js';
import { SUPERBLOCK_BLOCK, unpackSuperblock } from './superblock.js';

const COUNT_BYTES = 4;
/** Holds one bitmap or index after the other: tens of thousands would wait to be collected. */
const PASSING = Buffer.alloc(METADATA_BLOCK);

/** Where each bitmap lies. Numbers alone: a full pool has tens of thousands. */
type Index = ReadonlyMap<number, number>;

/** Mismatches that are listed one by one. */
const LISTED = 8;

/**
 * Reads both space maps whole, and compares them with what refers to each block of metadata and data. They
 * are of no use to a reader, but tell how sound the pool is.
 * @param census of all devices, those of the metadata snapshot, too; undefined where one of them is damaged:
 *   then nothing can be said of what refers to what
 */
export function checkSpaceMaps(pool: LegacyPool, census: MappingCensus | undefined): readonly Damage[] {
  const { dataSpaceMap, metadataSpaceMap } = pool.superblock;
  const data = readMap(pool, dataSpaceMap, 'data space map', dataIndex);
  const metadata = readMap(pool, metadataSpaceMap, 'metadata space map', metadataIndex);
  const damage = [...data.damage, ...metadata.damage];
  // Of the metadata's, the root is written before the last of its own blocks are taken, so the two may differ
  // in sound metadata.
  if (data.damage.length === 0 && data.used !== dataSpaceMap.allocated)
    damage.push({
      path: 'data space map',
      problem: `its bitmaps have ${data.used} blocks in use, and its root ${dataSpaceMap.allocated}`,
    });
  if (damage.length > 0 || census === undefined) return damage;
  try {
    countMetadata(pool, census.metadata, metadata.index);
    damage.push(...compare(pool, metadata, census.metadata));
    for (const counts of census.data()) damage.push(...compare(pool, data, counts));
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
  }
  return damage;
}

/** What the census of the mappings has not counted. Errors: damaged. */
function countMetadata({ superblock, nodes }: LegacyPool, counts: Counts, ownBitmaps: Index): void {
  const { mappingRoot, detailsRoot, heldRoot, dataSpaceMap, metadataSpaceMap } = superblock;
  counts.add(SUPERBLOCK_BLOCK);
  countTree(nodes, mappingRoot, 'blocks', counts);
  countTree(nodes, detailsRoot, 'none', counts);
  if (heldRoot !== 0) {
    counts.add(heldRoot);
    const held = unpackSuperblock(heldRoot, nodes.blocks.read(heldRoot), 'metadata snapshot');
    countTree(nodes, held.mappingRoot, 'blocks', counts);
    countTree(nodes, held.detailsRoot, 'none', counts);
  }
  countTree(nodes, dataSpaceMap.bitmapRoot, 'blocks', counts);
  countTree(nodes, dataSpaceMap.refCountRoot, 'none', counts);
  countTree(nodes, metadataSpaceMap.refCountRoot, 'none', counts);
  counts.add(metadataSpaceMap.bitmapRoot);
  for (const bitmap of ownBitmaps.values()) counts.add(bitmap);
}

interface ReadMap {
  readonly where: string;
  readonly root: SpaceMapRoot;
  readonly index: Index;
  readonly used: number;
  readonly damage: readonly Damage[];
}

function readMap(
  pool: LegacyPool,
  root: SpaceMapRoot,
  where: string,
  readIndex: (pool: LegacyPool, root: SpaceMapRoot, damage: Damage[]) => Index,
): ReadMap {
  const damage: Damage[] = [];
  let used = 0;
  const index = attempt(damage, () => readIndex(pool, root, damage)) ?? new Map<number, number>();
  for (const [number, bitmap] of index) {
    const count = Math.min(BITMAP_ENTRIES, root.blocks - number * BITMAP_ENTRIES);
    used += attempt(damage, () => usedIn(pool, bitmap, count, `${where} / bitmap ${number}`)) ?? 0;
  }
  if (damage.length === 0 && index.size < Math.ceil(root.blocks / BITMAP_ENTRIES))
    damage.push({ path: where, problem: `it has ${index.size} bitmaps for ${root.blocks} blocks` });
  for (const _ of countsOf(pool, root, where).leaves({
    onLost: ({ path, problem }) => damage.push({ path, problem }),
  }))
    continue;
  return { where, root, index, used, damage };
}

function countsOf(pool: LegacyPool, root: SpaceMapRoot, where: string): LegacyTree {
  return new LegacyTree(pool.nodes, root.refCountRoot, {
    valueSize: COUNT_BYTES,
    where: `${where} / reference counts`,
  });
}

/** Blocks whose count is not how often they are referred to. */
function compare(pool: LegacyPool, { where, root, index }: ReadMap, expected: Counts): readonly Damage[] {
  const { first } = expected;
  const end = Math.min(expected.end, root.blocks);
  const damage: Damage[] = [];
  let wrong = 0;
  const large = new AscendingCounts(countsOf(pool, root, where), first);
  for (let number = Math.floor(first / BITMAP_ENTRIES); number * BITMAP_ENTRIES < end; number++) {
    const bitmap = index.get(number)!;
    const begin = number * BITMAP_ENTRIES;
    const path = `${where} / bitmap ${number}`;
    const counts = new Bitmap(bitmap, readBlock(pool, bitmap, path), root.blocks - begin, path);
    const stop = Math.min(end, begin + counts.length);
    for (let at = Math.max(begin, first); at < stop; at++) {
      const small = counts.at(at - begin);
      const recorded = small === 'many' ? large.of(at) : small;
      if (recorded === expected.of(at)) continue;
      if (wrong++ < LISTED)
        damage.push({
          path: `${where} / block ${at}`,
          problem: `its count is ${recorded ?? 'missing'}, and ${expected.of(at)} refer to it`,
        });
    }
  }
  if (wrong > LISTED) damage.push({ path: where, problem: `${wrong - LISTED} more of its counts are wrong` });
  return damage;
}

/** The counts that no bitmap holds, asked for in ascending order: each leaf is read once. */
class AscendingCounts {
  readonly #leaves: Generator<LeafSlice>;
  #slice: LeafSlice | undefined;
  #at = 0;

  constructor(tree: LegacyTree, from: number) {
    this.#leaves = tree.leaves({ from });
  }

  /** Errors: damaged. */
  of(block: number): number | undefined {
    for (;;) {
      if (this.#slice === undefined) {
        const next = this.#leaves.next();
        if (next.done === true) return undefined;
        this.#slice = next.value;
        this.#at = next.value.first;
      }
      const { node, end } = this.#slice;
      while (this.#at < end && node.keys[this.#at]! < block) this.#at++;
      if (this.#at < end) return node.keys[this.#at] === block ? node.low(this.#at) : undefined;
      this.#slice = undefined;
    }
  }
}

function attempt<T>(damage: Damage[], look: () => T): T | undefined {
  try {
    return look();
  } catch (thrown) {
    const error = toThinError(thrown);
    if (error.code !== 'damaged') throw error;
    damage.push({ path: pathOf(error), problem: problemOf(error) });
    return undefined;
  }
}

function usedIn(pool: LegacyPool, block: number, count: number, where: string): number {
  const path = `${where} / block ${block}`;
  return new Bitmap(block, readBlock(pool, block, path), count, path).used;
}

function dataIndex(pool: LegacyPool, root: SpaceMapRoot, damage: Damage[]): Index {
  const bitmaps = new Map<number, number>();
  const tree = new LegacyTree(pool.nodes, root.bitmapRoot, {
    valueSize: INDEX_ENTRY_BYTES,
    where: 'data space map / index',
  });
  const to = Math.ceil(root.blocks / BITMAP_ENTRIES);
  const onLost = ({ path, problem }: Damage): number => damage.push({ path, problem });
  for (const { node, first, end } of tree.leaves({ to, onLost }))
    for (let index = first; index < end; index++) {
      const entry = attempt(damage, () => unpackIndexEntry(node.value(index), tree.pathOf(node.block)));
      if (entry !== undefined) bitmaps.set(node.keys[index]!, entry.bitmap);
    }
  return bitmaps;
}

function metadataIndex(pool: LegacyPool, root: SpaceMapRoot): Index {
  const path = `metadata space map / index block ${root.bitmapRoot}`;
  const count = Math.ceil(root.blocks / BITMAP_ENTRIES);
  if (count > INDEX_ENTRIES)
    throw legacyDamage(path, `${root.blocks} blocks are more than metadata can have`);
  const bytes = readBlock(pool, root.bitmapRoot, path);
  const entries = unpackMetadataIndex(root.bitmapRoot, bytes, count, path);
  return new Map(entries.map(({ bitmap }, number) => [number, bitmap]));
}

function readBlock(pool: LegacyPool, block: number, path: string): Buffer {
  const { blocks } = pool.nodes;
  if (block === 0 || block >= blocks.blocks) throw legacyDamage(path, 'the metadata has no such block');
  return blocks.read(block, PASSING);
}
