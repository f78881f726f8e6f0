import type { FilesystemType } from '../config/pool-options.js';

/** Bytes from a device's start that `probeFilesystem` looks at. */
export const PROBE_BYTES = 4096;

/** What a filesystem says of itself in its superblock. */
export interface ProbedFilesystem {
  /** ext4 stands for ext2 and ext3 too: its driver mounts them. */
  readonly type: FilesystemType;
  /** Bytes that it spans; what it is on is at least as large. */
  readonly size: number;
  /** In hex, without dashes. */
  readonly uuid: string;
}

const XFS_MAGIC = 0x58465342;
const EXT_SUPERBLOCK_AT = 1024;
const EXT_MAGIC = 0xef53;
const EXT_64BIT = 0x80;
/** 64 KiB: larger blocks than either has. */
const MAX_BLOCK_SIZE = 65536;

/**
 * xfs (xfs_format.h, `struct xfs_dsb`) and ext2 to ext4 (ext4.h, `struct ext4_super_block`); undefined for
 * anything else.
 */
export function probeFilesystem(bytes: Buffer): ProbedFilesystem | undefined {
  if (bytes.length < PROBE_BYTES) return undefined;
  const found = bytes.readUInt32BE(0) === XFS_MAGIC ? probeXfs(bytes) : probeExt(bytes);
  return found !== undefined && Number.isSafeInteger(found.size) && found.size > 0 ? found : undefined;
}

function probeXfs(bytes: Buffer): ProbedFilesystem | undefined {
  const blockSize = bytes.readUInt32BE(4);
  if (blockSize > MAX_BLOCK_SIZE) return undefined;
  return {
    type: 'xfs',
    size: Number(bytes.readBigUInt64BE(8)) * blockSize,
    uuid: bytes.subarray(32, 48).toString('hex'),
  };
}

function probeExt(bytes: Buffer): ProbedFilesystem | undefined {
  const superblock = bytes.subarray(EXT_SUPERBLOCK_AT);
  if (superblock.readUInt16LE(56) !== EXT_MAGIC) return undefined;
  const blockSize = 1024 * 2 ** superblock.readUInt32LE(24);
  if (blockSize > MAX_BLOCK_SIZE) return undefined;
  const wide = (superblock.readUInt32LE(96) & EXT_64BIT) !== 0;
  const blocks = superblock.readUInt32LE(4) + (wide ? superblock.readUInt32LE(336) * 2 ** 32 : 0);
  return { type: 'ext4', size: blocks * blockSize, uuid: superblock.subarray(104, 120).toString('hex') };
}
