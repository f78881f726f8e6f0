import { crc32 } from '@node-rs/crc32';
import { damage } from './damage.js';

/**
 * file   := record* end anything                        only `record* end` counts
 * record := magic:u32 length:u32 sequence:u64 generation:u32 kind:u32 device:u32 block:u32 chunk:u32 run:u32 origin:u32 pages:u32
 *           within:u32 bytes:u32 zero:u32 checksum:u32 payload[bytes] zeroes(0..63)
 * end    := a record of kind 0 without payload, whose sequence is that of the record before it; 0: there is none
 *
 * Little-endian; `length` covers all of it and is a multiple of 64. The checksum is the CRC-32 of everything before it and everything behind it,
 * begun at the CRC-32 of the file's name, so that a record counts in its own file only.
 *
 * A process that dies leaves its files whole, so that whatever is not is damage: what is written takes the place of the `end`, with an
 * `end` of its own behind it, and what does not fit into one page, which the kernel takes whole or not at all, is written before the record's first
 * 64 bytes.
 */
const MAGIC = 0x324a4654;
/** Of a record without payload. */
export const JOURNAL_LINE = 64;
const CHECKSUM_AT = 60;
/** Bytes of which a process that is killed in the middle of a write leaves all or none, at a multiple of them. */
const PAGE = 4096;

/** What was done, in terms of the pool; see `JournalRecord`. */
export const JournalKind = {
  /** Nothing: no record follows in its file. */
  END: 0,
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
  return JOURNAL_LINE + Math.ceil(payload / JOURNAL_LINE) * JOURNAL_LINE;
}

/** Where the checksums of a file begin. */
export function journalSalt(fileName: string): number {
  return crc32(fileName);
}

/** Whether it can be written at once, with the end behind it; else its first line comes last. */
export function isWrittenWhole(at: number, length: number): boolean {
  return (at % PAGE) + length + JOURNAL_LINE <= PAGE;
}

const NUMBERS = { device: 0, block: 0, chunk: 0, run: 0, origin: 0, pages: 0, within: 0 };
const NOTHING = { from: new Uint8Array(0), at: 0, length: 0 };

/** Writes the record, and an end behind it, to the beginning of `into`. @returns the record's length in bytes, without the end */
export function packJournalRecord(
  into: Buffer,
  sequence: bigint,
  record: JournalRecord,
  payload: { readonly from: Uint8Array; readonly at: number; readonly length: number },
  salt: number,
): number {
  const length = packOne(into, sequence, record, payload, salt);
  packJournalEnd(into.subarray(length), sequence, record.generation, salt);
  return length;
}

/** @param sequence of the record before it, 0 for none */
export function packJournalEnd(into: Buffer, sequence: bigint, generation: number, salt: number): void {
  packOne(into, sequence, { ...NUMBERS, generation, kind: JournalKind.END }, NOTHING, salt);
}

function packOne(
  into: Buffer,
  sequence: bigint,
  record: JournalRecord,
  payload: { readonly from: Uint8Array; readonly at: number; readonly length: number },
  salt: number,
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
  into.writeUInt32LE(0, 56);
  if (payload.length > 0) {
    into.set(payload.from.subarray(payload.at, payload.at + payload.length), JOURNAL_LINE);
    into.fill(0, JOURNAL_LINE + payload.length, length);
  }
  into.writeUInt32LE(checksumOf(into, 0, length, salt), CHECKSUM_AT);
  return length;
}

function checksumOf(bytes: Buffer, at: number, length: number, salt: number): number {
  const head = crc32(bytes.subarray(at, at + CHECKSUM_AT), salt);
  return length === JOURNAL_LINE ? head : crc32(bytes.subarray(at + JOURNAL_LINE, at + length), head);
}

/**
 * The records of a file that are of a generation after `retired`, in their order.
 * @param name of the file, which its records are salted with
 * @throws ThinError damaged, naming `path` and the byte, where the file is not whole
 */
export function* unpackJournal(
  file: Buffer,
  { name, retired, path }: { name: string; retired: number; path: string },
): Generator<StoredRecord> {
  const salt = journalSalt(name);
  let last = 0n;
  for (let at = 0; ;) {
    const record = readJournalRecord(file, at, salt);
    if (record === undefined) throw damage(path, `there is no whole record at byte ${at}`);
    if (record.kind === JournalKind.END) {
      if (record.sequence === last) return;
      throw damage(path, `it ends at byte ${at} behind another record than it did`);
    }
    if (record.sequence <= last) throw damage(path, `the record at byte ${at} belongs elsewhere`);
    last = record.sequence;
    if (record.generation > retired) yield record;
    at += journalRecordSize(record.payload.length);
  }
}

/** All records that can be read, of a file that is damaged, wherever they stand; those that an older generation left among them. */
export function* findJournalRecords(file: Buffer, name: string): Generator<StoredRecord> {
  const salt = journalSalt(name);
  for (let at = 0; at + JOURNAL_LINE <= file.length;) {
    const record = readJournalRecord(file, at, salt);
    at += record === undefined ? JOURNAL_LINE : journalRecordSize(record.payload.length);
    if (record !== undefined && record.kind !== JournalKind.END) yield record;
  }
}

/** Undefined: none that is whole. */
function readJournalRecord(file: Buffer, at: number, salt: number): StoredRecord | undefined {
  if (at + JOURNAL_LINE > file.length || file.readUInt32LE(at) !== MAGIC) return undefined;
  const length = file.readUInt32LE(at + 4);
  const bytes = file.readUInt32LE(at + 52);
  if (length !== journalRecordSize(bytes) || at + length > file.length) return undefined;
  if (file.readUInt32LE(at + CHECKSUM_AT) !== checksumOf(file, at, length, salt)) return undefined;
  return { ...unpackFields(file, at), payload: file.subarray(at + JOURNAL_LINE, at + JOURNAL_LINE + bytes) };
}

/** The numbers of the record at `at`, which stand where they stood before records had checksums. */
export function unpackFields(file: Buffer, at: number): Omit<StoredRecord, 'payload'> {
  return {
    sequence: file.readBigUInt64LE(at + 8),
    generation: file.readUInt32LE(at + 16),
    kind: file.readUInt32LE(at + 20) as JournalKind,
    device: file.readUInt32LE(at + 24),
    block: file.readUInt32LE(at + 28),
    chunk: file.readUInt32LE(at + 32),
    run: file.readUInt32LE(at + 36),
    origin: file.readUInt32LE(at + 40),
    pages: file.readInt32LE(at + 44),
    within: file.readUInt32LE(at + 48),
  };
}
