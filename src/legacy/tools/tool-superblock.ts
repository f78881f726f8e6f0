import { SECTOR } from '../disk-block.js';
import type { SpaceMapRoot } from '../space-map-root.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';

/** The superblock as the tools read it: its checksum is right, and its fields are taken as they are. */
export interface ToolSuperblock {
  readonly block: number;
  readonly flags: number;
  readonly version: number;
  readonly time: number;
  readonly transaction: bigint;
  /** Block of the metadata snapshot's superblock; 0: there is none. */
  readonly heldRoot: number;
  readonly dataSpaceMap: SpaceMapRoot;
  readonly metadataSpaceMap: SpaceMapRoot;
  readonly mappingRoot: number;
  readonly detailsRoot: number;
  /** Bytes of a data block. */
  readonly blockSize: number;
}

/** Numbers are exact up to 2^53. @throws ToolFault */
export function readToolSuperblock(blocks: ToolBlocks, block = 0): ToolSuperblock {
  const bytes = blocks.superblock(block);
  const number = (at: number): number => bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
  const map = (at: number): SpaceMapRoot => ({
    blocks: number(at),
    allocated: number(at + 8),
    bitmapRoot: number(at + 16),
    refCountRoot: number(at + 24),
  });
  return {
    block,
    flags: bytes.readUInt32LE(4),
    version: bytes.readUInt32LE(40),
    time: bytes.readUInt32LE(44),
    transaction: bytes.readBigUInt64LE(48),
    heldRoot: number(56),
    dataSpaceMap: map(64),
    metadataSpaceMap: map(192),
    mappingRoot: number(320),
    detailsRoot: number(328),
    blockSize: bytes.readUInt32LE(336) * SECTOR,
  };
}

/**
 * That of the metadata snapshot. `expected`: the block that it has to be at, as thin_dump's `-m BLOCK` has
 * it.
 * @throws ToolFault: there is none, or elsewhere
 */
export function readSnapshotSuperblock(blocks: ToolBlocks, expected?: number): ToolSuperblock {
  const running = readToolSuperblock(blocks);
  if (running.heldRoot === 0) throw new ToolFault('no current metadata snap');
  if (expected !== undefined && expected !== running.heldRoot)
    throw new ToolFault('metadata snapshot does not match that in superblock');
  return readToolSuperblock(blocks, running.heldRoot);
}
