import { ThinError } from '../errors/thin-error.js';
import { MAX_DEVICE_ID } from '../format/ids.js';
import { DETAILS_BYTES, unpackDetails, type DeviceDetails } from './device-details.js';
import { LegacyTree } from './legacy-tree.js';
import { MAPPING_BYTES } from './mapping-value.js';
import type { NodeReader } from './node-reader.js';
import type { LegacyNode } from './tree-node.js';

const ROOT_BYTES = 8;

/** Two trees that fit each other. */
export interface FoundTrees {
  readonly mappingRoot: number;
  readonly detailsRoot: number;
  readonly transactionId: bigint;
  readonly time: number;
  /** Other pairs that fit as well and are as new. */
  readonly rivals: number;
}

interface DetailsTree {
  readonly root: number;
  readonly details: ReadonlyMap<number, DeviceDetails>;
}

/**
 * Looks through all blocks for the newest tree of devices' mappings and the tree of records that has the same
 * devices with as many mapped blocks: what a superblock would lead to. Of those that are as new, the one that
 * maps most. Undefined where no two trees fit.
 */
export function findTrees(nodes: NodeReader): FoundTrees | undefined {
  const records: DetailsTree[] = [];
  const tops: { readonly root: number; readonly roots: ReadonlyMap<number, number> }[] = [];
  const { blocks } = nodes.blocks;
  for (let block = 1; block < blocks; block++) {
    const node = nodeAt(nodes, block);
    if (node === undefined || node.count === 0) continue;
    if (!node.isLeaf || node.valueSize === DETAILS_BYTES) {
      const details = detailsIn(nodes, block);
      if (details !== undefined) records.push({ root: block, details });
    }
    if (node.valueSize !== ROOT_BYTES) continue;
    const roots = rootsIn(nodes, block);
    if (roots !== undefined) tops.push({ root: block, roots });
  }
  const counts = new Map<number, number | undefined>();
  const countOf = (root: number): number | undefined => {
    if (!counts.has(root)) counts.set(root, countMapped(nodes, root));
    return counts.get(root);
  };
  const fitting = tops.flatMap((top) =>
    records
      .filter(({ details }) => fits(top.roots, details, countOf))
      .map(({ root, details }) => ({
        mappingRoot: top.root,
        detailsRoot: root,
        ...newest(details),
        size: details.size,
        mapped: [...details.values()].reduce((sum, { mappedBlocks }) => sum + mappedBlocks, 0n),
      })),
  );
  // Writes change neither transaction nor time; they map more, unless a range is discarded.
  fitting.sort(
    (a, b) =>
      Number(b.transactionId - a.transactionId) ||
      b.time - a.time ||
      b.size - a.size ||
      Number(b.mapped - a.mapped),
  );
  const [best] = fitting;
  if (best === undefined) return undefined;
  const { size, mapped: _, ...found } = best;
  const rivals = fitting.filter(
    (one) => one.transactionId === best.transactionId && one.time === best.time && one.size === size,
  );
  return { ...found, rivals: rivals.length - 1 };
}

function newest(details: ReadonlyMap<number, DeviceDetails>): { transactionId: bigint; time: number } {
  let transactionId = 0n;
  let time = 0;
  for (const one of details.values()) {
    if (one.transactionId > transactionId) transactionId = one.transactionId;
    time = Math.max(time, one.creationTime, one.snapTime);
  }
  return { transactionId, time };
}

function fits(
  roots: ReadonlyMap<number, number>,
  details: ReadonlyMap<number, DeviceDetails>,
  mapped: (root: number) => number | undefined,
): boolean {
  if (roots.size !== details.size) return false;
  for (const id of roots.keys()) if (!details.has(id)) return false;
  for (const [id, root] of roots) {
    const count = mapped(root);
    if (count === undefined || BigInt(count) !== details.get(id)?.mappedBlocks) return false;
  }
  return true;
}

function detailsIn(nodes: NodeReader, root: number): ReadonlyMap<number, DeviceDetails> | undefined {
  return attempt(() => {
    const found = new Map<number, DeviceDetails>();
    const tree = new LegacyTree(nodes, root, { valueSize: DETAILS_BYTES, where: 'records' });
    for (const { node, first, end } of tree.leaves())
      for (let index = first; index < end; index++) {
        if (node.keys[index]! > MAX_DEVICE_ID) return undefined;
        found.set(node.keys[index]!, unpackDetails(node.value(index)));
      }
    return found;
  });
}

/** Mappings have the same shape, but their values are no blocks of nodes. */
function rootsIn(nodes: NodeReader, root: number): ReadonlyMap<number, number> | undefined {
  return attempt(() => {
    const found = new Map<number, number>();
    const tree = new LegacyTree(nodes, root, { valueSize: ROOT_BYTES, where: 'device tree' });
    for (const { node, first, end } of tree.leaves())
      for (let index = first; index < end; index++) {
        const child = node.child(index, 'device tree');
        if (node.keys[index]! > MAX_DEVICE_ID || nodeAt(nodes, child)?.valueSize !== MAPPING_BYTES)
          return undefined;
        found.set(node.keys[index]!, child);
      }
    return found;
  });
}

function countMapped(nodes: NodeReader, root: number): number | undefined {
  return attempt(() => {
    let count = 0;
    const tree = new LegacyTree(nodes, root, { valueSize: MAPPING_BYTES, where: 'device' });
    for (const { first, end } of tree.leaves()) count += end - first;
    return count;
  });
}

function nodeAt(nodes: NodeReader, block: number): LegacyNode | undefined {
  return attempt(() => nodes.node(block, 'node'));
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged') return undefined;
    throw error;
  }
}
