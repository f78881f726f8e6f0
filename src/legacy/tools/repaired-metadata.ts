import type { BlockReader } from '../block-reader.js';
import { DETAILS_BYTES } from '../device-details.js';
import { findTrees } from '../find-trees.js';
import { MAPPING_BYTES } from '../mapping-value.js';
import { NodeReader } from '../node-reader.js';
import type { DumpOverrides } from './thin-dump.js';
import { ToolBlocks, ToolFault } from './tool-blocks.js';
import { ToolMetadata } from './tool-metadata.js';
import { readToolSuperblock, type ToolSuperblock } from './tool-superblock.js';
import { ToolWalk, untilDamage } from './tool-walk.js';

/** What thin_repair takes for the time where it is lost. */
const LOST_TIME = 100_000;

/**
 * The superblock, or what the options say in its place; and where its trees cannot be read, the newest that
 * fit each other. @throws ToolFault
 */
export function repairedMetadata(reader: BlockReader, overrides: DumpOverrides): ToolMetadata {
  const blocks = new ToolBlocks(reader);
  const superblock = readable(blocks) ?? made(overrides, blocks);
  const metadata = new ToolMetadata(reader, superblock);
  if (hasTrees(metadata)) return metadata;
  const found = findTrees(new NodeReader(reader));
  return found === undefined ? metadata : new ToolMetadata(reader, { ...superblock, ...found, heldRoot: 0 });
}

function readable(blocks: ToolBlocks): ToolSuperblock | undefined {
  try {
    return readToolSuperblock(blocks);
  } catch (error) {
    if (error instanceof ToolFault) return undefined;
    throw error;
  }
}

function made({ transaction, blockSize, dataBlocks }: DumpOverrides, blocks: ToolBlocks): ToolSuperblock {
  const missing = [
    ...(transaction === undefined ? ['transaction id'] : []),
    ...(blockSize === undefined ? ['data block size'] : []),
    ...(dataBlocks === undefined ? ['nr data blocks'] : []),
  ][0];
  if (transaction === undefined || blockSize === undefined || dataBlocks === undefined)
    throw new ToolFault(
      `The following field needs to be provided on the command line due to corruption in the superblock: ${missing}`,
    );
  const nothing = { blocks: 0, allocated: 0, bitmapRoot: 0, refCountRoot: 0 };
  return {
    block: 0,
    flags: 0,
    version: 2,
    time: LOST_TIME,
    transaction,
    heldRoot: 0,
    dataSpaceMap: { ...nothing, blocks: dataBlocks },
    metadataSpaceMap: { ...nothing, blocks: blocks.count },
    mappingRoot: 0,
    detailsRoot: 0,
    blockSize,
  };
}

/** Whether the trees of devices and of records can be read whole, and have the same devices. */
function hasTrees(metadata: ToolMetadata): boolean {
  const isWhole = (root: number, valueSize: number): boolean =>
    untilDamage((onDamage) => {
      const shape = { levels: 1, valueSize, ignoreNonFatal: true } as const;
      for (const _ of new ToolWalk(metadata.blocks, shape, onDamage).leaves(root)) continue;
    }, false);
  const { detailsRoot, mappingRoot } = metadata.superblock;
  return isWhole(detailsRoot, DETAILS_BYTES) && isWhole(mappingRoot, MAPPING_BYTES);
}
