import type { PoolInfo } from '../pool/info.js';

/**
 * dm-thin warns of metadata when this many blocks are left, or a quarter where that is less (dm-thin.c,
 * calc_metadata_threshold).
 */
const METADATA_LOW_WATER = 1024;

/**
 * The status of a thin-pool target as `dmsetup status` shows it behind `START LENGTH thin-pool` (dm-thin.c,
 * `pool_status`): transaction id, metadata and data blocks used/total, held root, mode, discard passdown,
 * policy when full, needs_check, low-water mark.
 */
export function dmStatusLine(info: PoolInfo): string {
  if (info.mode === 'fail') return 'Fail';
  const metadataTotal = Math.floor(info.metadataTotal / info.metadataBlockSize);
  const blocks = (bytes: number, size: number): string => String(Math.ceil(bytes / size));
  return [
    String(info.transactionId),
    `${blocks(info.metadataUsed, info.metadataBlockSize)}/${metadataTotal}`,
    `${blocks(info.dataUsed, info.blockSize)}/${Math.floor(info.dataTotal / info.blockSize)}`,
    // There can be several here; dm-thin has one.
    info.heldRoot === undefined ? '-' : String(info.heldRoot),
    info.mode,
    // A chunk that is given back leaves the store, and with it the host's disk.
    'discard_passdown',
    // The policy that a writer meets now, as in dm-thin's line.
    info.options.errorIfNoSpace || info.waitedEnough === true ? 'error_if_no_space' : 'queue_if_no_space',
    info.needsCheck ? 'needs_check' : '-',
    String(Math.min(METADATA_LOW_WATER, Math.floor(metadataTotal / 4))),
  ].join(' ');
}
