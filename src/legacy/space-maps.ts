import { toThinError } from '../errors/thin-error.js';
import { legacyDamage, pathOf, problemOf } from './legacy-damage.js';
import type { Damage, LegacyPool } from './legacy-pool.js';
import { LegacyTree } from './legacy-tree.js';
import { BITMAP_ENTRIES, unpackBitmap } from './space-map-bitmap.js';
import {
  INDEX_ENTRIES,
  INDEX_ENTRY_BYTES,
  unpackIndexEntry,
  unpackMetadataIndex,
  type IndexEntry,
} from './space-map-index.js';
import type { SpaceMapRoot } from './space-map-root.js';

const COUNT_BYTES = 4;

type Index = ReadonlyMap<number, IndexEntry>;

/** Reads both space maps whole and says what is wrong with them. They are of no use to a reader, but tell how sound the pool is. */
export function checkSpaceMaps(pool: LegacyPool): readonly Damage[] {
  const { dataSpaceMap, metadataSpaceMap } = pool.superblock;
  return [
    ...checkMap(pool, dataSpaceMap, { where: 'data space map', readIndex: dataIndex, exact: true }),
    // Its root is written before the last of its own blocks are taken, so the two may differ in sound metadata.
    ...checkMap(pool, metadataSpaceMap, {
      where: 'metadata space map',
      readIndex: metadataIndex,
      exact: false,
    }),
  ];
}

function checkMap(
  pool: LegacyPool,
  root: SpaceMapRoot,
  options: {
    readonly where: string;
    readonly readIndex: (pool: LegacyPool, root: SpaceMapRoot, damage: Damage[]) => Index;
    /** Its root counts what its bitmaps have. */
    readonly exact: boolean;
  },
): readonly Damage[] {
  const { where, readIndex, exact } = options;
  const damage: Damage[] = [];
  let used = 0;
  const index = attempt(damage, () => readIndex(pool, root, damage)) ?? new Map<number, IndexEntry>();
  for (const [number, { bitmap }] of index) {
    const count = Math.min(BITMAP_ENTRIES, root.blocks - number * BITMAP_ENTRIES);
    used += attempt(damage, () => usedIn(pool, bitmap, count, `${where} / bitmap ${number}`)) ?? 0;
  }
  if (exact && damage.length === 0 && used !== root.allocated)
    damage.push({
      path: where,
      problem: `its bitmaps have ${used} blocks in use, and its root ${root.allocated}`,
    });
  const counts = new LegacyTree(pool.nodes, root.refCountRoot, {
    valueSize: COUNT_BYTES,
    where: `${where} / reference counts`,
  });
  for (const _ of counts.leaves({ onLost: ({ path, problem }) => damage.push({ path, problem }) })) continue;
  return damage;
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
  return unpackBitmap(block, readBlock(pool, block, path), count, path).filter((uses) => uses !== 0).length;
}

function dataIndex(pool: LegacyPool, root: SpaceMapRoot, damage: Damage[]): Index {
  const entries = new Map<number, IndexEntry>();
  const tree = new LegacyTree(pool.nodes, root.bitmapRoot, {
    valueSize: INDEX_ENTRY_BYTES,
    where: 'data space map / index',
  });
  const bitmaps = Math.ceil(root.blocks / BITMAP_ENTRIES);
  const onLost = ({ path, problem }: Damage): number => damage.push({ path, problem });
  for (const { node, first, end } of tree.leaves({ to: bitmaps, onLost }))
    for (let index = first; index < end; index++) {
      const entry = attempt(damage, () => unpackIndexEntry(node.value(index), tree.pathOf(node.block)));
      if (entry !== undefined) entries.set(node.keys[index]!, entry);
    }
  return entries;
}

function metadataIndex(pool: LegacyPool, root: SpaceMapRoot): Index {
  const path = `metadata space map / index block ${root.bitmapRoot}`;
  const bitmaps = Math.ceil(root.blocks / BITMAP_ENTRIES);
  if (bitmaps > INDEX_ENTRIES)
    throw legacyDamage(path, `${root.blocks} blocks are more than metadata can have`);
  const bytes = readBlock(pool, root.bitmapRoot, path);
  return new Map(unpackMetadataIndex(root.bitmapRoot, bytes, bitmaps, path).entries());
}

function readBlock(pool: LegacyPool, block: number, path: string): Buffer {
  const { blocks } = pool.nodes;
  if (block === 0 || block >= blocks.blocks) throw legacyDamage(path, 'the metadata has no such block');
  return blocks.read(block);
}
