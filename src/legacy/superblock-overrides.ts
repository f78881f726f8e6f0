import { ThinError } from '../errors/thin-error.js';
import type { BlockReader } from './block-reader.js';
import { checkBlock } from './disk-block.js';
import { legacyDamage } from './legacy-damage.js';
import {
  isBlockSize,
  isThinSuperblock,
  SUPERBLOCK_BLOCK,
  unpackSuperblock,
  type LegacySuperblock,
} from './superblock.js';

/** What stands in place of what the superblock says, as thin_check's and thin_repair's options do. */
export interface PoolOverrides {
  /** Bytes of a data block. */
  readonly blockSize?: number | undefined;
  readonly dataBlocks?: number | undefined;
  readonly mappingRoot?: number | undefined;
  readonly detailsRoot?: number | undefined;
  /** What is known from elsewhere, for a superblock that says nothing: LVM's text, the size of the data. */
  readonly fallback?: {
    readonly blockSize?: number | undefined;
    /** Bytes of the data. */
    readonly dataBytes?: number | undefined;
  };
}

/**
 * Blocks at the beginning in which a node is looked for, to tell a pool whose superblock is lost from what is
 * no pool.
 */
const LOOKED_AT = 1024;

/**
 * Errors: damaged (also where zeroes are in its place, or something else and nodes behind it),
 * invalid-argument (no pool), wrong-version, unsupported.
 */
export function readSuperblock(blocks: BlockReader): LegacySuperblock {
  const path = `superblock of ${blocks.path}`;
  const bytes = blocks.read(SUPERBLOCK_BLOCK);
  if (!isThinSuperblock(bytes)) {
    const isZero = bytes.every((byte) => byte === 0);
    const nodes = hasNodes(blocks);
    if (isZero && !nodes)
      throw legacyDamage(
        path,
        'it is all zeroes, and no node of a tree is near behind it; check which of the two is --metadata and which --data',
      );
    if (nodes) throw legacyDamage(path, isZero ? 'it is all zeroes' : 'something else is in its place');
  }
  return unpackSuperblock(SUPERBLOCK_BLOCK, bytes, path);
}

/** Errors: invalid-argument. */
export function override(superblock: LegacySuperblock, overrides: PoolOverrides): LegacySuperblock {
  const { blockSize, dataBlocks, mappingRoot, detailsRoot } = overrides;
  requirePossible(blockSize);
  return {
    ...superblock,
    blockSize: blockSize ?? superblock.blockSize,
    dataSpaceMap: {
      ...superblock.dataSpaceMap,
      blocks: dataBlocks ?? superblock.dataSpaceMap.blocks,
    },
    mappingRoot: mappingRoot ?? superblock.mappingRoot,
    detailsRoot: detailsRoot ?? superblock.detailsRoot,
  };
}

/**
 * A superblock of what the user gives. Errors: invalid-argument; `why`, with what is missing if that would
 * help.
 */
export function replaceSuperblock(
  blocks: BlockReader,
  { fallback, ...overrides }: PoolOverrides,
  why: ThinError,
): LegacySuperblock {
  const { mappingRoot, detailsRoot } = overrides;
  requirePossible(overrides.blockSize);
  const blockSize = overrides.blockSize ?? fallback?.blockSize;
  const dataBlocks =
    overrides.dataBlocks ??
    (fallback?.dataBytes === undefined || blockSize === undefined
      ? undefined
      : Math.floor(fallback.dataBytes / blockSize));
  const missing = [
    ...(mappingRoot === undefined ? ['--mapping-root'] : []),
    ...(detailsRoot === undefined ? ['--details-root'] : []),
    ...(blockSize === undefined ? ['--block-size'] : []),
    ...(dataBlocks === undefined ? ['--data-blocks'] : []),
  ];
  if (
    mappingRoot === undefined ||
    detailsRoot === undefined ||
    blockSize === undefined ||
    dataBlocks === undefined
  ) {
    // On a disk that is missing, there are no roots either.
    if (!hasReadable(blocks)) throw why;
    throw new ThinError(
      'damaged',
      `${why.message}; without it, the pool can be read with ${missing.join(', ')}, and --search finds the roots`,
      { cause: why, details: why.details },
    );
  }
  const nothing = { blocks: 0, allocated: 0, bitmapRoot: 0, refCountRoot: 0 };
  return {
    flags: 0,
    needsCheck: false,
    uuid: '00'.repeat(16),
    version: 2,
    time: 0,
    transactionId: 0n,
    heldRoot: 0,
    dataSpaceMap: { ...nothing, blocks: dataBlocks },
    metadataSpaceMap: { ...nothing, blocks: blocks.blocks },
    mappingRoot,
    detailsRoot,
    blockSize,
    metadataBlocks: blocks.blocks,
    compatFlags: 0,
    compatRoFlags: 0,
    incompatFlags: 0,
  };
}

/** With any other, everything that is read would be made up, and look sound. */
function requirePossible(blockSize: number | undefined): void {
  if (blockSize !== undefined && !isBlockSize(blockSize))
    throw new ThinError(
      'invalid-argument',
      `${blockSize} bytes are no data block of a thin pool; --block-size is a multiple of 64K, up to 1G`,
    );
}

function hasNodes(blocks: BlockReader): boolean {
  for (let block = 1; block < Math.min(blocks.blocks, LOOKED_AT); block++)
    if (isNode(blocks, block)) return true;
  return false;
}

function hasReadable(blocks: BlockReader): boolean {
  for (let block = 0; block < Math.min(blocks.blocks, LOOKED_AT); block++) {
    try {
      blocks.read(block);
      return true;
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    }
  }
  return false;
}

function isNode(blocks: BlockReader, block: number): boolean {
  try {
    checkBlock('node', block, blocks.read(block), 'node');
    return true;
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged') return false;
    throw error;
  }
}
