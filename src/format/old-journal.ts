import { unpackFields, type StoredRecord } from './journal-record.js';

/**
 * What was written before records had checksums, by a daemon that a newer one may have to follow on (`journal-record.ts`).
 *
 * record  := magic:u32 length:u32 sequence:u64 generation:u32 kind:u32 device:u32 block:u32 chunk:u32 run:u32 origin:u32 pages:u32
 *            within:u32 bytes:u32 payload[bytes] padding(0..7) sequence:u64
 */
const MAGIC = 0x314a4654;
const HEADER = 56;
const TRAILER = 8;

/**
 * The records of a file from its beginning on, as far as they are whole and of a generation after `retired`: what stands behind is left from
 * before the file was begun anew.
 */
export function* unpackOldJournal(file: Buffer, retired: number): Generator<StoredRecord> {
  for (let at = 0; at + HEADER + TRAILER <= file.length;) {
    if (file.readUInt32LE(at) !== MAGIC) return;
    const length = file.readUInt32LE(at + 4);
    const bytes = file.readUInt32LE(at + 52);
    if (length !== HEADER + Math.ceil(bytes / 8) * 8 + TRAILER || at + length > file.length) return;
    const fields = unpackFields(file, at);
    if (file.readBigUInt64LE(at + length - TRAILER) !== fields.sequence || fields.generation <= retired)
      return;
    yield { ...fields, payload: file.subarray(at + HEADER, at + HEADER + bytes) };
    at += length;
  }
}
