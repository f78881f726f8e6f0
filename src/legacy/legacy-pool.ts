import { toThinError, ThinError } from '../errors/thin-error.js';
import { MAX_DEVICE_ID } from '../format/ids.js';
import type { BlockReader } from './block-reader.js';
import { DETAILS_BYTES, unpackDetails, type DeviceDetails } from './device-details.js';
import { findTrees, type FoundTrees } from './find-trees.js';
import { legacyDamage, pathOf, problemOf } from './legacy-damage.js';
import { LegacyTree, type LostRange } from './legacy-tree.js';
import { MAPPING_BYTES } from './mapping-value.js';
import { NodeReader } from './node-reader.js';
import { override, readSuperblock, replaceSuperblock, type PoolOverrides } from './superblock-overrides.js';
import { unpackSuperblock, type LegacySuperblock } from './superblock.js';

const ROOT_BYTES = 8;

/** Something that is damaged, and what cannot be known for it. */
export interface Damage {
  /** Where: such as `superblock`, `device tree / node block 5`, `device 3 / node block 17`. */
  readonly path: string;
  readonly problem: string;
}

/** A thin device as the metadata knows it. */
export interface LegacyDevice {
  readonly id: number;
  /** Undefined where its record is lost. */
  readonly details: DeviceDetails | undefined;
  /** Its mappings; undefined where their root is lost. */
  readonly tree: LegacyTree | undefined;
}

/**
 * An old pool's metadata: superblock, devices, and a way into each one's mappings. Only reads, and holds
 * little in memory.
 */
export class LegacyPool {
  readonly superblock: LegacySuperblock;
  readonly nodes: NodeReader;
  /**
   * Its superblock knows where the space maps of these trees are: not so where something stands for it, or in
   * a metadata snapshot.
   */
  readonly hasSpaceMaps: boolean;
  readonly devices: readonly LegacyDevice[];
  /** What was met while the devices were listed. */
  readonly damage: readonly Damage[];

  private constructor(
    superblock: LegacySuperblock,
    nodes: NodeReader,
    hasSpaceMaps: boolean,
    known: readonly Damage[] = [],
  ) {
    this.superblock = superblock;
    this.nodes = nodes;
    this.hasSpaceMaps = hasSpaceMaps;
    const damage: Damage[] = [...known];
    this.devices = listDevices(superblock, nodes, damage);
    this.damage = damage;
  }

  /**
   * Damage below the superblock does not keep a pool from being opened. `heldRoot`: the metadata snapshot
   * that was reserved in a running pool, and not what is changing meanwhile. Errors: invalid-argument (no
   * thin pool; no snapshot there), damaged (the superblock, and `overrides` do not stand for it),
   * wrong-version, unsupported.
   */
  static open(
    blocks: BlockReader,
    options: {
      readonly heldRoot?: boolean;
      readonly cachedNodes?: number;
      readonly overrides?: PoolOverrides | undefined;
      /** Where the superblock is lost, looks for the newest trees that fit each other. */
      readonly search?: boolean;
    } = {},
  ): LegacyPool {
    if (blocks.blocks === 0)
      throw new ThinError(
        'invalid-argument',
        `${blocks.path} is too short for the metadata of a thin pool; check which of the two is --metadata and which --data`,
        { details: { path: blocks.path } },
      );
    const nodes = new NodeReader(blocks, options.cachedNodes);
    const { overrides = {} } = options;
    let running: LegacySuperblock;
    try {
      running = readSuperblock(blocks);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged' || options.heldRoot === true) throw error;
      const found = options.search === true ? findTrees(nodes) : undefined;
      const replaced = replaceSuperblock(blocks, { ...overrides, ...rootsOf(overrides, found) }, error);
      return new LegacyPool(
        { ...replaced, transactionId: found?.transactionId ?? 0n, time: found?.time ?? 0 },
        nodes,
        false,
        [{ path: pathOf(error), problem: `${problemOf(error)}; ${standIn(replaced, found)}` }],
      );
    }
    if (options.heldRoot === true) return new LegacyPool(heldSuperblock(running, blocks), nodes, false);
    return new LegacyPool(override(running, overrides), nodes, true, tooShort(running, blocks));
  }

  get dataBlocks(): number {
    return this.superblock.dataSpaceMap.blocks;
  }

  device(id: number): LegacyDevice | undefined {
    return this.devices.find((device) => device.id === id);
  }
}

function rootsOf(
  { mappingRoot, detailsRoot }: PoolOverrides,
  found: FoundTrees | undefined,
): Pick<PoolOverrides, 'mappingRoot' | 'detailsRoot'> {
  return {
    mappingRoot: mappingRoot ?? found?.mappingRoot,
    detailsRoot: detailsRoot ?? found?.detailsRoot,
  };
}

function standIn({ mappingRoot, detailsRoot }: LegacySuperblock, found: FoundTrees | undefined): string {
  const rivals =
    found === undefined || found.rivals === 0 ? '' : `, and ${found.rivals} other pairs are as new`;
  return `the trees at --mapping-root ${mappingRoot} and --details-root ${detailsRoot} are read in its place${rivals}`;
}

function tooShort(superblock: LegacySuperblock, blocks: BlockReader): readonly Damage[] {
  if (blocks.blocks >= superblock.metadataBlocks) return [];
  return [
    {
      path: blocks.path,
      problem: `it has ${blocks.blocks} blocks, and its superblock says ${superblock.metadataBlocks}; what lies behind is lost`,
    },
  ];
}

/**
 * The space maps of a metadata snapshot are zeroed (`__reserve_metadata_snap`), so the running pool's sizes
 * stand for them.
 */
function heldSuperblock(running: LegacySuperblock, blocks: BlockReader): LegacySuperblock {
  const { heldRoot } = running;
  if (heldRoot === 0)
    throw new ThinError(
      'invalid-argument',
      `${blocks.path} has no metadata snapshot; take one where the pool runs (dmsetup message POOL 0 reserve_metadata_snap), or leave --metadata-snap out`,
      { details: { path: blocks.path } },
    );
  const path = `metadata snapshot / block ${heldRoot}`;
  if (heldRoot >= blocks.blocks) throw legacyDamage(path, 'the metadata has no such block');
  const held = unpackSuperblock(heldRoot, blocks.read(heldRoot), path);
  return { ...held, dataSpaceMap: running.dataSpaceMap, metadataSpaceMap: running.metadataSpaceMap };
}

/** By id, from both trees: a device is shown when either knows it. */
function listDevices(superblock: LegacySuperblock, nodes: NodeReader, damage: Damage[]): LegacyDevice[] {
  const lost = ({ begin, end, path, problem }: LostRange): void => {
    const whose = end === Infinity ? `all devices from ${begin} on` : `devices ${begin} to ${end - 1}`;
    damage.push({ path, problem: `${problem}; ${whose} are lost with it` });
  };
  const roots = new Map<number, number>();
  const top = new LegacyTree(nodes, superblock.mappingRoot, { valueSize: ROOT_BYTES, where: 'device tree' });
  for (const { node, first, end } of top.leaves({ onLost: lost }))
    for (let index = first; index < end; index++) {
      const id = node.keys[index]!;
      const path = `${top.pathOf(node.block)} / device ${id}`;
      noteDamage(damage, () => {
        requireId(id, path);
        roots.set(id, node.child(index, path));
      });
    }
  const details = new Map<number, DeviceDetails>();
  const tree = new LegacyTree(nodes, superblock.detailsRoot, {
    valueSize: DETAILS_BYTES,
    where: 'device details',
  });
  for (const { node, first, end } of tree.leaves({
    onLost: ({ begin, end: behind, path, problem }) => {
      const range = behind === Infinity ? `${begin} on` : `${begin} to ${behind - 1}`;
      damage.push({ path, problem: `${problem}; the records of devices from ${range} are lost with it` });
    },
  }))
    for (let index = first; index < end; index++) {
      const id = node.keys[index]!;
      noteDamage(damage, () => {
        requireId(id, `${tree.pathOf(node.block)} / device ${id}`);
        details.set(id, unpackDetails(node.value(index)));
      });
    }
  const ids = [...new Set([...roots.keys(), ...details.keys()])].sort((a, b) => a - b);
  return ids.map((id) => {
    const root = roots.get(id);
    const where = `device ${id}`;
    return {
      id,
      details: details.get(id),
      tree: root === undefined ? undefined : new LegacyTree(nodes, root, { valueSize: MAPPING_BYTES, where }),
    };
  });
}

/** dm-thin takes no others (MAX_DEV_ID). */
function requireId(id: number, path: string): void {
  if (id > MAX_DEVICE_ID) throw legacyDamage(path, 'no device has a number of more than 24 bits');
}

function noteDamage(damage: Damage[], look: () => void): void {
  try {
    look();
  } catch (thrown) {
    const error = toThinError(thrown);
    if (error.code !== 'damaged') throw error;
    damage.push({ path: pathOf(error), problem: problemOf(error) });
  }
}
