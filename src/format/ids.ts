declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Number of a chunk in the pool's data space: 0 .. MAX_CHUNKS - 1. */
export type ChunkId = Branded<number, 'ChunkId'>;
/** Index of a chunk-sized block in a thin device: 0 .. 2^32 - 1. */
export type VirtualBlock = Branded<number, 'VirtualBlock'>;
/** Number of a node of a mapping tree: 0 .. 2^32 - 1. */
export type NodeId = Branded<number, 'NodeId'>;
/** dm-thin's device number, 24 bits, 1 .. 2^24 - 1; the base device is 1. */
export type DeviceId = Branded<number, 'DeviceId'>;
/** What a user calls a device; see `parseDeviceName`. */
export type DeviceName = Branded<string, 'DeviceName'>;
/** Counts commits that changed the set of devices, as dm-thin's transaction id does. */
export type TransactionId = Branded<number, 'TransactionId'>;
/** The pool's snapshot clock: grows by one with every snapshot (dm-thin-metadata.c, `time`). */
export type SnapTime = Branded<number, 'SnapTime'>;

/**
 * A chunk number shares a 32-bit word with a lock bit and a shared bit in the mapping table
 * (io/mapping-table.ts), where two values mean that there is none: 2^30 - 2 chunks, 64 TiB of 64 KiB chunks.
 */
export const MAX_CHUNKS = 2 ** 30 - 2;
/** Blocks a device can have: virtual blocks are u32 keys of its tree. */
export const MAX_VIRTUAL_BLOCKS = 2 ** 32;
export const MAX_DEVICE_ID = 2 ** 24 - 1;

export const chunkId = (n: number): ChunkId => n as ChunkId;
export const virtualBlock = (n: number): VirtualBlock => n as VirtualBlock;
export const nodeId = (n: number): NodeId => n as NodeId;
export const deviceId = (n: number): DeviceId => n as DeviceId;
export const transactionId = (n: number): TransactionId => n as TransactionId;
export const snapTime = (n: number): SnapTime => n as SnapTime;
