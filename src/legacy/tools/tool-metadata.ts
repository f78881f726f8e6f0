import type { BlockReader } from '../block-reader.js';
import { DETAILS_BYTES, unpackDetails, type DeviceDetails } from '../device-details.js';
import { MAPPING_BYTES } from '../mapping-value.js';
import { ToolBlocks, ToolFault } from './tool-blocks.js';
import { ToolNode } from './tool-node.js';
import { readSnapshotSuperblock, readToolSuperblock, type ToolSuperblock } from './tool-superblock.js';
import { ToolWalk, type ToolLeaf } from './tool-walk.js';

/** `true`: the one there is; a number: it has to be at this block. */
export type SnapshotOption = boolean | number;

/** Metadata as the tools that only read it have it. Everything throws ToolFault. */
export class ToolMetadata {
  readonly blocks: ToolBlocks;
  readonly superblock: ToolSuperblock;

  constructor(reader: BlockReader, superblock: ToolSuperblock) {
    this.blocks = new ToolBlocks(reader);
    this.superblock = superblock;
  }

  static open(reader: BlockReader, snapshot: SnapshotOption): ToolMetadata {
    const blocks = new ToolBlocks(reader);
    if (blocks.count === 0) throw new ToolFault('Metadata is not large enough for superblock.');
    return new ToolMetadata(
      reader,
      snapshot === false
        ? readToolSuperblock(blocks)
        : readSnapshotSuperblock(blocks, snapshot === true ? undefined : snapshot),
    );
  }

  /** Blocks of data; 0 in a metadata snapshot, which does not say. */
  get dataBlocks(): number {
    return this.superblock.block === 0 ? this.superblock.dataSpaceMap.blocks : 0;
  }

  /** By id, ascending. `onDamage` is told where records are lost. */
  details(ignoreNonFatal: boolean, onDamage: () => void): ReadonlyMap<number, DeviceDetails> {
    const found = new Map<number, DeviceDetails>();
    const walk = new ToolWalk(this.blocks, { levels: 1, valueSize: DETAILS_BYTES, ignoreNonFatal }, onDamage);
    for (const { node } of walk.leaves(this.superblock.detailsRoot))
      for (let index = 0; index < node.count; index++)
        if (!found.has(node.key(index))) found.set(node.key(index), unpackDetails(node.value(index)));
    return found;
  }

  /** The root of a device's mappings; undefined where it has none. */
  rootOf(device: number): number | undefined {
    let node = ToolNode.at(this.blocks, this.superblock.mappingRoot);
    for (let at = node.floor(device); at >= 0; at = node.floor(device)) {
      if (!node.isInternal && node.key(at) !== device) return undefined;
      node.requireValues(8);
      if (!node.isInternal) return node.block(at);
      node = ToolNode.at(this.blocks, node.block(at));
    }
    return undefined;
  }

  /** Leaves of a device's mappings in order. */
  mappings(root: number, ignoreNonFatal: boolean, onDamage: () => void): Generator<ToolLeaf> {
    const shape = { levels: 1, valueSize: MAPPING_BYTES, ignoreNonFatal } as const;
    return new ToolWalk(this.blocks, shape, onDamage).leaves(root);
  }
}
