import { ByteReader, ByteWriter } from './byte-cursor.js';
import {
  MAX_CHUNKS,
  deviceId,
  snapTime,
  transactionId,
  type DeviceId,
  type SnapTime,
  type TransactionId,
} from './ids.js';
import { FORMAT_VERSION, seal } from './seal.js';

const POOL_KINDS = ['leveldb', 'direct'] as const;
const NEEDS_CHECK = 1;
const HAS_TOTALS = 2;
const HAS_LOG = 4;
const HAS_PACKED = 8;
const HAS_REMOTE = 16;
/** Of the seal: programs that do not know what the flags say refuse the pool. */
const WITH_MORE = 2;
/** Programs that do not know remote chunks refuse a pool with some. */
const WITH_REMOTE = 3;

/**
 * superblock := uuid:text pool-kind:u8 block-size:u32 chunks:u32 nodes:u32 time:u32 transaction:u64 last-device:u32 flags:u32
 *               base-uuid:text last-transaction totals remote
 * last-transaction := id:u64 device:u32 name:text      id 0: there has been none
 * totals           := devices:u32 chunks:u32 nodes:u32   only where flags say so
 * remote           := chunks:u32                         only where flags say so
 *
 * As dm-thin's superblock (dm-thin-metadata.c, `struct thin_disk_superblock`), less the roots that are keys
 * of their own here.
 */
export interface Superblock {
  readonly uuid: string;
  readonly kind: (typeof POOL_KINDS)[number];
  /** Bytes of a chunk. */
  readonly blockSize: number;
  /** Chunks that the pool may hand out. */
  readonly chunks: number;
  /** Tree nodes that it may hand out: its metadata space in blocks of 4096 bytes. */
  readonly nodes: number;
  readonly time: SnapTime;
  readonly transactionId: TransactionId;
  readonly lastDeviceId: DeviceId;
  readonly needsCheck: boolean;
  /** The base device's filesystem; empty until it has one. */
  readonly baseUuid: string;
  readonly lastTransaction:
    { readonly id: TransactionId; readonly device: DeviceId; readonly name: string } | undefined;
  /** Undefined: written by a thinfuse that did not count them. */
  readonly totals?: PoolTotals | undefined;
  /** Values of chunks may be packed (`packed-value.ts`). */
  readonly hasPacked?: true | undefined;
  /** Answered writes may be in the pool's log alone (`log-state.ts`). */
  readonly hasLog?: true | undefined;
  /** Chunks whose bytes are in a store elsewhere (`remote-sheet.ts`); undefined: none, and no image there. */
  readonly remoteChunks?: number | undefined;
}

/**
 * Counts of the rest of the metadata in the same commit. They reveal records that are lost or of another
 * time.
 */
export interface PoolTotals {
  /** Device records. */
  readonly devices: number;
  /** Entries of the space maps that have a count. */
  readonly chunks: number;
  readonly nodes: number;
}

export function packSuperblock(superblock: Superblock): Uint8Array {
  const { lastTransaction: last, totals } = superblock;
  const bytes = new ByteWriter()
    .text(superblock.uuid)
    .u8(POOL_KINDS.indexOf(superblock.kind))
    .u32(superblock.blockSize)
    .u32(superblock.chunks)
    .u32(superblock.nodes)
    .u32(superblock.time)
    .u64(superblock.transactionId)
    .u32(superblock.lastDeviceId)
    .u32(
      (superblock.needsCheck ? NEEDS_CHECK : 0) |
        (totals === undefined ? 0 : HAS_TOTALS) |
        (superblock.hasPacked === true ? HAS_PACKED : 0) |
        (superblock.hasLog === true ? HAS_LOG : 0) |
        (superblock.remoteChunks === undefined ? 0 : HAS_REMOTE),
    )
    .text(superblock.baseUuid)
    .u64(last?.id ?? 0)
    .u32(last?.device ?? 0)
    .text(last?.name ?? '');
  if (totals !== undefined) bytes.u32(totals.devices).u32(totals.chunks).u32(totals.nodes);
  if (superblock.remoteChunks !== undefined) bytes.u32(superblock.remoteChunks);
  return bytes.finish();
}

/** As it is stored. */
export function sealSuperblock(superblock: Superblock): Uint8Array {
  const hasMore = superblock.hasPacked === true || superblock.hasLog === true;
  const version = superblock.remoteChunks !== undefined ? WITH_REMOTE : hasMore ? WITH_MORE : FORMAT_VERSION;
  return seal('superblock', 0, packSuperblock(superblock), version);
}

/** @throws ThinError damaged, naming `path` */
export function unpackSuperblock(body: Uint8Array, path: string): Superblock {
  const from = new ByteReader(body, path);
  const { flags, ...fields } = {
    uuid: from.text(),
    kind: from.choice(POOL_KINDS),
    blockSize: from.u32(),
    chunks: from.u32(),
    nodes: from.u32(),
    time: snapTime(from.u32()),
    transactionId: transactionId(from.u64()),
    lastDeviceId: deviceId(from.u32()),
    flags: from.u32(),
    baseUuid: from.text(),
  };
  const last = { id: transactionId(from.u64()), device: deviceId(from.u32()), name: from.text() };
  const totals =
    (flags & HAS_TOTALS) === 0 ? undefined : { devices: from.u32(), chunks: from.u32(), nodes: from.u32() };
  const remoteChunks = (flags & HAS_REMOTE) === 0 ? undefined : from.u32();
  from.finish();
  if (fields.blockSize === 0 || fields.blockSize % 512 !== 0)
    throw from.damaged('the chunk size is not possible');
  if (fields.chunks > MAX_CHUNKS) throw from.damaged('more chunks than a pool can have');
  return {
    ...fields,
    needsCheck: (flags & NEEDS_CHECK) !== 0,
    lastTransaction: last.id === 0 ? undefined : last,
    ...(totals !== undefined && { totals }),
    ...((flags & HAS_PACKED) !== 0 && { hasPacked: true }),
    ...((flags & HAS_LOG) !== 0 && { hasLog: true }),
    ...(remoteChunks !== undefined && { remoteChunks }),
  };
}
