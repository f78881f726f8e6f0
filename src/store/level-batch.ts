import { isPoolKey } from '../format/keys.js';
import { VarintReader } from './level-bytes.js';

/**
 * A batch as a record of the log holds it (db/write_batch.cc):
 *
 * batch := sequence:u64 count:u32 change*          little-endian; the changes have the numbers from `sequence` on
 * change := 1 key value | 0 key                    a value put, a key deleted; key, value := length:varint byte*
 */
const BATCH_HEADER = 12;
const PUT = 1;
const DELETION = 0;
/** Bytes of the smallest change. */
const LEAST_CHANGE = 3;
const LONGEST_KEY = 5;
/** Bytes that tell whether a batch begins here. */
export const BATCH_HEAD = BATCH_HEADER + 2 + LONGEST_KEY;

export interface BatchHeader {
  readonly sequence: number;
  readonly count: number;
}

/** Undefined: cut off. */
export function batchHeader(bytes: Uint8Array): BatchHeader | undefined {
  if (bytes.length < BATCH_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    sequence: view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32,
    count: view.getUint32(8, true),
  };
}

/**
 * Whether a batch of a pool begins at `bytes` that was written at most `gap` bytes of log after number `next`
 * was due. What a user stores may be a LevelDB log itself, of other numbers or other keys.
 */
export function beginsBatchAfter(
  bytes: Uint8Array,
  { from, to, gap }: { from: number; to: number; gap: number },
): boolean {
  const header = batchHeader(bytes);
  if (header === undefined || header.count === 0) return false;
  if (header.sequence < from || header.sequence > to + Math.ceil(gap / LEAST_CHANGE)) return false;
  const reader = new VarintReader(bytes, BATCH_HEADER);
  const kind = reader.byte();
  const key = reader.bytes();
  return !reader.overrun && (kind === PUT || kind === DELETION) && isPoolKey(key);
}

export interface BatchChange {
  readonly key: Uint8Array;
  readonly sequence: number;
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
}

/** All changes, or undefined where the batch is not as LevelDB writes one. Keys and values are views. */
export function unpackBatch(bytes: Uint8Array): readonly BatchChange[] | undefined {
  const header = batchHeader(bytes);
  if (header === undefined) return undefined;
  const changes: BatchChange[] = [];
  const reader = new VarintReader(bytes, BATCH_HEADER);
  while (!reader.ended) {
    const kind = reader.byte();
    if (kind !== PUT && kind !== DELETION) return undefined;
    const key = reader.bytes();
    const value = kind === PUT ? reader.bytes() : undefined;
    changes.push({ key, value, sequence: header.sequence + changes.length });
  }
  return reader.overrun || changes.length !== header.count ? undefined : changes;
}
