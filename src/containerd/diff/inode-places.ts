import type { FileHandle } from 'node:fs/promises';
import { firstAt } from '../../format/first-at.js';
import type { ByteRange } from '../../pool/changed-ranges.js';

/** Where a filesystem keeps its inodes. */
export interface InodePlaces {
  /** The byte of the device that the inode begins at; undefined: there is no such inode. */
  of(inode: bigint): number | undefined;
  /** Two filesystems with the same one keep each inode at the same place. */
  readonly geometry: string;
}

const SUPERBLOCK_BYTES = 4096;
const XFS_MAGIC = 0x58465342;
const EXT_SUPERBLOCK_AT = 1024;
const EXT_MAGIC = 0xef53;
const EXT_META_BG = 0x10;
const EXT_64BIT = 0x80;
const EXT_DESCRIPTOR = 32;

/**
 * From the superblock of an xfs (xfs_format.h, `struct xfs_dsb`), or that and the group descriptors of an
 * ext2 to ext4 (ext4.h, `struct ext4_super_block`, `struct ext4_group_desc`). Undefined: it is neither, or
 * keeps its descriptors in another way (meta_bg).
 */
export async function inodePlaces(device: FileHandle): Promise<InodePlaces | undefined> {
  const superblock = await bytesAt(device, 0, SUPERBLOCK_BYTES);
  if (superblock === undefined) return undefined;
  return superblock.readUInt32BE(0) === XFS_MAGIC ? inXfs(superblock) : inExt(device, superblock);
}

/** An inode number has its group, its block there, and its place in that from the high bits down. */
function inXfs(superblock: Buffer): InodePlaces {
  const [blockSize, groupBlocks] = [superblock.readUInt32BE(4), superblock.readUInt32BE(84)];
  const inodeSize = superblock.readUInt16BE(104);
  const [inodeBits, groupBits] = [superblock.readUInt8(123), superblock.readUInt8(124)];
  return {
    geometry: `xfs ${[blockSize, groupBlocks, inodeSize, inodeBits, groupBits].join(' ')}`,
    of: (inode) => {
      const block = inode >> BigInt(inodeBits);
      const group = Number(block >> BigInt(groupBits));
      const inGroup = Number(BigInt.asUintN(groupBits, block));
      const inBlock = Number(BigInt.asUintN(inodeBits, inode));
      return (group * groupBlocks + inGroup) * blockSize + inBlock * inodeSize;
    },
  };
}

async function inExt(device: FileHandle, bytes: Buffer): Promise<InodePlaces | undefined> {
  const superblock = bytes.subarray(EXT_SUPERBLOCK_AT);
  if (superblock.readUInt16LE(56) !== EXT_MAGIC) return undefined;
  const incompatible = superblock.readUInt32LE(96);
  if ((incompatible & EXT_META_BG) !== 0) return undefined;
  const isWide = (incompatible & EXT_64BIT) !== 0;
  const blockSize = 1024 * 2 ** superblock.readUInt32LE(24);
  const [inodes, perGroup] = [superblock.readUInt32LE(0), superblock.readUInt32LE(40)];
  // Revision 0 has no sizes.
  const inodeSize = superblock.readUInt32LE(76) === 0 ? 128 : superblock.readUInt16LE(88);
  const descriptorSize = isWide ? superblock.readUInt16LE(254) : EXT_DESCRIPTOR;
  const groups = Math.ceil(inodes / perGroup);
  const begin = (superblock.readUInt32LE(20) + 1) * blockSize;
  const descriptors = await bytesAt(device, begin, groups * descriptorSize);
  if (descriptors === undefined) return undefined;
  const tables = Array.from({ length: groups }, (_, group) => {
    const at = group * descriptorSize;
    const high = descriptorSize > EXT_DESCRIPTOR ? descriptors.readUInt32LE(at + 40) : 0;
    return (high * 2 ** 32 + descriptors.readUInt32LE(at + 8)) * blockSize;
  });
  return {
    geometry: `ext ${[inodeSize, perGroup].join(' ')} ${tables.join(' ')}`,
    of: (inode) => {
      const index = Number(inode) - 1;
      const table = tables[Math.floor(index / perGroup)];
      return table === undefined ? undefined : table + (index % perGroup) * inodeSize;
    },
  };
}

async function bytesAt(device: FileHandle, offset: number, length: number): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await device.read(bytes, 0, length, offset);
  return bytesRead === length ? bytes : undefined;
}

/** Ranges to look bytes up in. */
export class RangeIndex {
  readonly #ranges: readonly ByteRange[];

  /** @param ranges ascending, none over another */
  constructor(ranges: readonly ByteRange[]) {
    this.#ranges = ranges;
  }

  has(byte: number): boolean {
    const ranges = this.#ranges;
    const found = ranges[firstAt(ranges.length, (at) => ranges[at]!.end > byte)];
    return found !== undefined && found.begin <= byte;
  }
}
