import type { DumpedDevice } from '../thin-tools/dump-words.js';

export const DETAILS_BYTES = 24;

/** As `struct disk_device_details` of dm-thin-metadata.c. */
export interface DeviceDetails {
  readonly mappedBlocks: bigint;
  readonly transactionId: bigint;
  /**
   * The pool's clock when the device was made; a snapshot moves the clock on, so no two snapshots have the
   * same.
   */
  readonly creationTime: number;
  /** The clock at its latest snapshot, or when it was made as one: mappings older than this may be shared. */
  readonly snapTime: number;
}

/** details := mapped-blocks:u64 transaction-id:u64 creation-time:u32 snapshotted-time:u32. Any 24 bytes are some. */
export function unpackDetails(bytes: Buffer): DeviceDetails {
  return {
    mappedBlocks: bytes.readBigUInt64LE(0),
    transactionId: bytes.readBigUInt64LE(8),
    creationTime: bytes.readUInt32LE(16),
    snapTime: bytes.readUInt32LE(20),
  };
}

export function dumpedDevice(id: number, details: DeviceDetails): DumpedDevice {
  return { ...details, id, mapped: details.mappedBlocks, transaction: details.transactionId };
}
