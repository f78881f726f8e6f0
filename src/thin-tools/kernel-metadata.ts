const BLOCK = 4096;
/** Of dm-thin's nodes, with 16 bytes an entry. */
const MAPPINGS_PER_LEAF = 252;
const BITMAP_ENTRIES = 16320;
/** Reference counts above two are in a tree of their own, with 12 bytes an entry. */
const COUNTS_PER_LEAF = 336;
/** The most that a kernel accepts (THIN_METADATA_MAX_SECTORS in dm-thin-metadata.h). */
const MAX_KERNEL_METADATA = 255 * ((1 << 14) - 64) * BLOCK;
const LEAST = 16 * 2 ** 20;

/**
 * Bytes that a kernel's metadata is given for a pool, so that it holds it and has room to go on: twice what
 * full nodes would take, as nodes of a tree that is written to are half full. What is not used of it is a
 * hole.
 * @param mappings of all devices together, those that are shared counted for each
 */
export function kernelMetadataSize(pool: {
  readonly devices: number;
  readonly mappings: number;
  readonly chunks: number;
}): number {
  const leaves = Math.ceil(pool.mappings / MAPPINGS_PER_LEAF) + 2 * pool.devices;
  const maps = Math.ceil(pool.chunks / BITMAP_ENTRIES) + Math.ceil(pool.chunks / COUNTS_PER_LEAF);
  const blocks = Math.ceil(2 * 1.02 * (leaves + maps)) + 64;
  return Math.min(MAX_KERNEL_METADATA, Math.max(LEAST, blocks * BLOCK));
}
