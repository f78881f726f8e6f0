import { ThinError } from '../errors/thin-error.js';
import { checkBlock, METADATA_BLOCK, readCount, SECTOR } from './disk-block.js';
import { legacyDamage } from './legacy-damage.js';
import { unpackSpaceMapRoot, type SpaceMapRoot } from './space-map-root.js';

export const SUPERBLOCK_BLOCK = 0;
const MAGIC = 27022010n;
export const NEEDS_CHECK = 1;
export const FLAGS_AT = 4;
export const METADATA_SPACE_MAP_AT = 192;
/** 1: before metadata snapshots had space maps; 2: since Linux 3.10. */
const MAX_VERSION = 2;
/** DATA_DEV_BLOCK_SIZE_MIN_SECTORS and _MAX_SECTORS of dm-thin.c: 64 KiB to 1 GiB in steps of 64 KiB. */
const BLOCK_STEP = 128;
const MAX_BLOCK_SECTORS = 2 ** 21;

/** As `struct thin_disk_superblock` of dm-thin-metadata.c, less the checksum and its own block number. */
export interface LegacySuperblock {
  readonly flags: number;
  /** `flags`, bit 0: the kernel met a failure and wants thin_check before it writes again. */
  readonly needsCheck: boolean;
  /** 16 bytes in hex; all zeroes in nearly every pool. */
  readonly uuid: string;
  readonly version: number;
  /** The snapshot clock. */
  readonly time: number;
  readonly transactionId: bigint;
  /** Block of the metadata snapshot's superblock; 0: there is none. */
  readonly heldRoot: number;
  readonly dataSpaceMap: SpaceMapRoot;
  readonly metadataSpaceMap: SpaceMapRoot;
  /** Root of the tree device → root of its mappings. */
  readonly mappingRoot: number;
  readonly detailsRoot: number;
  /** Bytes of a data block. */
  readonly blockSize: number;
  readonly metadataBlocks: number;
  readonly compatFlags: number;
  readonly compatRoFlags: number;
  readonly incompatFlags: number;
}

/** Whether a block calls itself one, whatever its checksum says. */
export function isThinSuperblock(bytes: Buffer): boolean {
  return bytes.length >= METADATA_BLOCK && bytes.readBigUInt64LE(32) === MAGIC;
}

/**
 * superblock := csum:u32 flags:u32 blocknr:u64 uuid:16 magic:u64 version:u32 time:u32 trans-id:u64 held-root:u64
 *               data-space-map-root:128 metadata-space-map-root:128 data-mapping-root:u64 device-details-root:u64
 *               data-block-size:u32 metadata-block-size:u32 metadata-nr-blocks:u64 compat:u32 compat-ro:u32 incompat:u32
 *
 * Sizes in sectors of 512 bytes. `block` is 0, or that of a metadata snapshot.
 * @throws ThinError damaged; invalid-argument (no thin pool at all), wrong-version, unsupported
 */
export function unpackSuperblock(block: number, bytes: Buffer, path: string): LegacySuperblock {
  if (!isThinSuperblock(bytes))
    throw new ThinError(
      'invalid-argument',
      `${path} is not a superblock of a thin pool; give the metadata device or file (loop-lvm: devicemapper/metadata, LVM: the volume POOL_tmeta)`,
      { details: { path } },
    );
  checkBlock('superblock', block, bytes, path);
  const version = bytes.readUInt32LE(40);
  if (version < 1 || version > MAX_VERSION)
    throw new ThinError(
      'wrong-version',
      `${path} has version ${version} of dm-thin's format, and versions up to ${MAX_VERSION} are known`,
      { details: { path, version } },
    );
  const incompatFlags = bytes.readUInt32LE(360);
  if (incompatFlags !== 0)
    throw new ThinError(
      'unsupported',
      `${path} uses features that are not known here (incompat flags ${incompatFlags}); export it with the system that wrote it`,
      { details: { path, flags: incompatFlags } },
    );
  const sectors = bytes.readUInt32LE(336);
  if (!isBlockSize(sectors * SECTOR))
    throw legacyDamage(path, `a data block of ${sectors} sectors is not possible`);
  const metadataSectors = bytes.readUInt32LE(340);
  if (metadataSectors !== METADATA_BLOCK / SECTOR)
    throw legacyDamage(path, `a metadata block of ${metadataSectors} sectors is not possible`);
  const flags = bytes.readUInt32LE(FLAGS_AT);
  return {
    flags,
    needsCheck: (flags & NEEDS_CHECK) !== 0,
    uuid: bytes.subarray(16, 32).toString('hex'),
    version,
    time: bytes.readUInt32LE(44),
    transactionId: bytes.readBigUInt64LE(48),
    heldRoot: readCount(bytes, 56, path, 'held root'),
    dataSpaceMap: unpackSpaceMapRoot(bytes.subarray(64, 192), `${path} / data space map`),
    metadataSpaceMap: unpackSpaceMapRoot(
      bytes.subarray(METADATA_SPACE_MAP_AT, 320),
      `${path} / metadata space map`,
    ),
    mappingRoot: readCount(bytes, 320, path, 'mapping root'),
    detailsRoot: readCount(bytes, 328, path, 'details root'),
    blockSize: sectors * SECTOR,
    metadataBlocks: readCount(bytes, 344, path, 'number of metadata blocks'),
    compatFlags: bytes.readUInt32LE(352),
    compatRoFlags: bytes.readUInt32LE(356),
    incompatFlags,
  };
}

/** Whether dm-thin takes it for the bytes of a data block. */
export function isBlockSize(bytes: number): boolean {
  const sectors = bytes / SECTOR;
  return sectors > 0 && sectors % BLOCK_STEP === 0 && sectors <= MAX_BLOCK_SECTORS;
}
