/**
 * record  := magic:u32 length:u32 sequence:u64 generation:u32 kind:u32 device:u32 block:u32 chunk:u32 run:u32 origin:u32 pages:u32
 *            within:u32 bytes:u32 payload[bytes] padding(0..7) sequence:u64
 *
 * Little-endian; `length` covers all of it and is a multiple of 8. The sequence at the end says that the record is whole: a process that
 * dies in the middle of writing one leaves what the file held before. Records of one file stand one behind the other from its beginning on.
 */
const MAGIC = 0x314a4654;
const HEADER = 56;
const TRAILER = 8;

/** What was done, in terms of the pool; see `JournalRecord`. */
export const JournalKind = {
  /** `run` blocks from `block` on map as many chunks from `chunk` on, whose data is there. */
  MAP: 1,
  /** The block maps the chunk, which has `pages` of its own and the others of `origin`. */
  MAP_PARTIAL: 2,
  /** The block maps the chunk, which holds zeroes but for the payload. */
  PROVISION: 3,
  /** The block maps the chunk, which holds what `origin` does but for the payload. */
  COPY: 4,
  /** The block maps nothing. */
  UNMAP: 5,
  /** The payload was written to the chunk. */
  DATA: 6,
  /** The chunk got `pages`, whose data is there. */
  PAGES: 7,
} as const;
export type JournalKind = (typeof JournalKind)[keyof typeof JournalKind];

/** Fields that a kind does not name are 0. */
export interface JournalRecord {
  /** Commits that began before it was written. */
  readonly generation: number;
  readonly kind: JournalKind;
  readonly device: number;
  readonly block: number;
  readonly chunk: number;
  readonly run: number;
  readonly origin: number;
  readonly pages: number;
  /** Where the payload belongs in the chunk, in bytes. */
  readonly within: number;
}

/** A record as it was read; `payload` is a view of what was read. */
export interface StoredRecord extends JournalRecord {
  readonly sequence: bigint;
  readonly payload: Uint8Array;
}

/** Bytes that a record takes. */
export function journalRecordSize(payload: number): number {
  return HEADER + Math.ceil(payload / 8) * 8 + TRAILER;
}

/** Writes the record to the beginning of `into`. @returns its length in bytes */
export function packJournalRecord(
  into: Buffer,
  sequence: bigint,
  record: JournalRecord,
  payload: { readonly from: Uint8Array; readonly at: number; readonly length: number },
): number {
  const length = journalRecordSize(payload.length);
  into.writeUInt32LE(MAGIC, 0);
  into.writeUInt32LE(length, 4);
  into.writeBigUInt64LE(sequence, 8);
  into.writeUInt32LE(record.generation, 16);
  into.writeUInt32LE(record.kind, 20);
  into.writeUInt32LE(record.device, 24);
  into.writeUInt32LE(record.block, 28);
  into.writeUInt32LE(record.chunk, 32);
  into.writeUInt32LE(record.run, 36);
  into.writeUInt32LE(record.origin, 40);
  into.writeUInt32LE(record.pages >>> 0, 44);
  into.writeUInt32LE(record.within, 48);
  into.writeUInt32LE(payload.length, 52);
  if (payload.length > 0) into.set(payload.from.subarray(payload.at, payload.at + payload.length), HEADER);
  into.writeBigUInt64LE(sequence, length - TRAILER);
  return length;
}

/**
 * The records of a file from its beginning on, as far as they are whole and of a generation after `retired`: what stands behind is left from
 * before the file was begun anew.
 */
export function* unpackJournal(file: Buffer, retired: number): Generator<StoredRecord> {
  for (let at = 0; at + HEADER + TRAILER <= file.length;) {
    if (file.readUInt32LE(at) !== MAGIC) return;
    const length = file.readUInt32LE(at + 4);
    const bytes = file.readUInt32LE(at + 52);
    if (length !== journalRecordSize(bytes) || at + length > file.length) return;
    const sequence = file.readBigUInt64LE(at + 8);
    const generation = file.readUInt32LE(at + 16);
    if (file.readBigUInt64LE(at + length - TRAILER) !== sequence || generation <= retired) return;
    yield {
      sequence,
      generation,
      kind: file.readUInt32LE(at + 20) as JournalKind,
      device: file.readUInt32LE(at + 24),
      block: file.readUInt32LE(at + 28),
      chunk: file.readUInt32LE(at + 32),
      run: file.readUInt32LE(at + 36),
      origin: file.readUInt32LE(at + 40),
      pages: file.readInt32LE(at + 44),
      within: file.readUInt32LE(at + 48),
      payload: file.subarray(at + HEADER, at + HEADER + bytes),
    };
    at += length;
  }
}
