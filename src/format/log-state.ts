import { ByteReader, ByteWriter } from './byte-cursor.js';
import { RECORDS_STATE_VERSION, seal, SEAL_BYTES, sealVersion, STATE_VERSION, unseal } from './seal.js';

/** Bytes of the log's file before its ring. */
export const LOG_HEAD_BYTES = 4096;

const CLOSED = 1;
const WITHOUT = 2;
const ACCEPTED = 4;

/**
 * What the store says of the pool's log, in each batch: the log counts from `position` on.
 *
 * state := sealed( id:text epoch:u32 position:u64 flags:u32 place:text changed:u64? )
 * flags := bit 0 closed, bit 1 without, bit 2 accepted
 */
export interface LogState {
  /** Random, of the log's file. */
  readonly id: string;
  /** One more with each process that opens the pool: the checksums of its records begin at it. */
  readonly epoch: number;
  /** Bytes written since the epoch began; what stands before is in the store. */
  readonly position: number;
  /**
   * Changes of devices that stand before this position, which is no less than `position`, are in the store;
   * none behind it is. (Mappings from behind `position` may be, up to any.) In version 2; an older state has
   * `position` here, since each change of a device was a commit then.
   */
  readonly changed: number;
  /** Nothing counts. */
  readonly closed: boolean;
  /**
   * The log could not be written: the store has what was synced, and what was answered besides may be lost.
   */
  readonly without: boolean;
  /** The user accepted the pool without the lost part of its log: the readable part counts. */
  readonly accepted: boolean;
  /**
   * Records of devices in the log may have newer fields. Then the state is of version 3, so that a program
   * that knows none of them refuses the pool, and does not take the log for damaged.
   */
  readonly hasNewerRecords: boolean;
  /** The running kernel and the file on it: only there has the file what was written and not synced. */
  readonly place: string;
}

export function packLogState(state: LogState): Uint8Array {
  const flags = (state.closed ? CLOSED : 0) | (state.without ? WITHOUT : 0) | (state.accepted ? ACCEPTED : 0);
  const bytes = new ByteWriter().text(state.id).u32(state.epoch).u64(state.position);
  bytes.u32(flags).text(state.place).u64(state.changed);
  return seal('log-state', 0, bytes.finish(), state.hasNewerRecords ? RECORDS_STATE_VERSION : STATE_VERSION);
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackLogState(bytes: Uint8Array, path: string): LogState {
  const from = new ByteReader(unseal('log-state', 0, bytes, path), path);
  const { flags, ...fields } = {
    id: from.text(),
    epoch: from.u32(),
    position: from.u64(),
    flags: from.u32(),
    place: from.text(),
  };
  const version = sealVersion(bytes, 0);
  const changed = version < STATE_VERSION ? fields.position : from.u64();
  from.finish();
  return {
    ...fields,
    changed,
    closed: (flags & CLOSED) !== 0,
    without: (flags & WITHOUT) !== 0,
    accepted: (flags & ACCEPTED) !== 0,
    hasNewerRecords: version >= RECORDS_STATE_VERSION,
  };
}

/** head := sealed( pool:text id:text ring:u64 zeroes )     4096 bytes with its seal, written once */
export interface LogHead {
  /** The uuid of the pool that the log is of. */
  readonly pool: string;
  readonly id: string;
  /** Bytes of the ring behind the head. */
  readonly ring: number;
}

export function packLogHead({ pool, id, ring }: LogHead): Uint8Array {
  const body = new Uint8Array(LOG_HEAD_BYTES - SEAL_BYTES);
  body.set(new ByteWriter().text(pool).text(id).u64(ring).finish());
  return seal('log-head', 0, body);
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackLogHead(bytes: Uint8Array, path: string): LogHead {
  const from = new ByteReader(unseal('log-head', 0, bytes, path), path);
  return { pool: from.text(), id: from.text(), ring: from.u64() };
}
