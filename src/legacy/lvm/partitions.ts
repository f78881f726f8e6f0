import { crc32 } from '@node-rs/crc32';
import type { DiskReader } from '../disk-reader.js';

/** In bytes, from the beginning of the disk. */
export interface Partition {
  readonly number: number;
  readonly begin: number;
  readonly size: number;
}

const SECTOR_SIZES = [512, 4096];
const MBR_BYTES = 512;
const MBR_SIGNATURE = 0xaa55;
const MBR_ENTRIES_AT = 446;
const MBR_ENTRY_BYTES = 16;
const PROTECTIVE = 0xee;
const EXTENDED: readonly number[] = [0x05, 0x0f, 0x85];
/** The kernel gives up there, too (msdos.c, `state->limit`). */
const MAX_LOGICAL = 256;
const GPT_MAGIC = Buffer.from('EFI PART');
const GPT_HEADER_BYTES = 92;
const MAX_GPT_ENTRIES = 1024;

/**
 * Partitions of a GPT (the backup where the first is damaged), else of an MBR with its logical ones; none
 * where there is no table. Sectors of 512 and of 4096 bytes. Errors: damaged (what cannot be read).
 */
export function readPartitions(disk: DiskReader): readonly Partition[] {
  if (disk.size < MBR_BYTES) return [];
  const mbr = disk.readSync(0, MBR_BYTES);
  const marked = mbr.readUInt16LE(510) === MBR_SIGNATURE;
  const gpt = readGpt(disk);
  if (gpt !== undefined) return gpt;
  if (!marked) return [];
  return readMbr(disk, mbr);
}

function readGpt(disk: DiskReader): readonly Partition[] | undefined {
  for (const sector of SECTOR_SIZES)
    for (const at of [sector, disk.size - (disk.size % sector) - sector]) {
      const found = gptAt(disk, at, sector);
      if (found !== undefined) return found;
    }
  return undefined;
}

/** Header and entries have checksums (UEFI, "GUID Partition Table Header"). */
function gptAt(disk: DiskReader, at: number, sector: number): readonly Partition[] | undefined {
  if (at < sector || at + sector > disk.size) return undefined;
  const header = disk.readSync(at, sector);
  if (!header.subarray(0, 8).equals(GPT_MAGIC)) return undefined;
  const length = header.readUInt32LE(12);
  if (length < GPT_HEADER_BYTES || length > sector) return undefined;
  const sealed = Buffer.from(header.subarray(0, length));
  sealed.writeUInt32LE(0, 16);
  if (crc32(sealed) !== header.readUInt32LE(16)) return undefined;
  const entriesAt = Number(header.readBigUInt64LE(72)) * sector;
  const count = header.readUInt32LE(80);
  const entryBytes = header.readUInt32LE(84);
  if (count > MAX_GPT_ENTRIES || entryBytes < 128 || entryBytes > 4096) return undefined;
  if (entriesAt + count * entryBytes > disk.size) return undefined;
  const entries = disk.readSync(entriesAt, count * entryBytes);
  if (crc32(entries) !== header.readUInt32LE(88)) return undefined;
  const found: Partition[] = [];
  for (let index = 0; index < count; index++) {
    const entry = entries.subarray(index * entryBytes, (index + 1) * entryBytes);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const first = Number(entry.readBigUInt64LE(32));
    const last = Number(entry.readBigUInt64LE(40));
    found.push({ number: index + 1, begin: first * sector, size: (last - first + 1) * sector });
  }
  return found.filter((partition) => isInside(partition, disk));
}

/**
 * Sectors of an MBR are the disk's, which an image does not tell: a table is tried with both, and the one
 * that fits the disk is taken.
 */
function readMbr(disk: DiskReader, mbr: Buffer): readonly Partition[] {
  for (const sector of SECTOR_SIZES) {
    const entries = entriesOf(mbr, sector).filter(({ type }) => type !== PROTECTIVE);
    if (entries.length === 0 || !entries.every((entry) => isInside(entry, disk))) continue;
    const primary = entries.filter(({ type }) => !EXTENDED.includes(type));
    const extended = entries.find(({ type }) => EXTENDED.includes(type));
    return [...primary, ...(extended === undefined ? [] : logicalIn(disk, extended.begin, sector))].map(
      ({ number, begin, size }) => ({ number, begin, size }),
    );
  }
  return [];
}

interface MbrEntry extends Partition {
  readonly type: number;
}

function entriesOf(mbr: Buffer, sector: number): readonly MbrEntry[] {
  return [0, 1, 2, 3]
    .map((index) => {
      const at = MBR_ENTRIES_AT + index * MBR_ENTRY_BYTES;
      return {
        number: index + 1,
        type: mbr[at + 4]!,
        begin: mbr.readUInt32LE(at + 8) * sector,
        size: mbr.readUInt32LE(at + 12) * sector,
      };
    })
    .filter(({ type, size }) => type !== 0 && size > 0);
}

/**
 * A chain of tables: the first entry is a partition relative to its table, the second leads to the next
 * table, relative to the first.
 */
function logicalIn(disk: DiskReader, begin: number, sector: number): readonly MbrEntry[] {
  const found: MbrEntry[] = [];
  let table = begin;
  for (let number = 5; number < 5 + MAX_LOGICAL && table + MBR_BYTES <= disk.size; number++) {
    const bytes = disk.readSync(table, MBR_BYTES);
    if (bytes.readUInt16LE(510) !== MBR_SIGNATURE) break;
    const entries = entriesOf(bytes, sector);
    const logical = entries.find(({ type }) => !EXTENDED.includes(type));
    if (logical !== undefined) found.push({ ...logical, number, begin: table + logical.begin });
    const next = entries.find(({ type }) => EXTENDED.includes(type));
    if (next === undefined) break;
    table = begin + next.begin;
  }
  return found.filter((partition) => isInside(partition, disk));
}

/** An image may be cut off behind the beginning of a partition; what is there of it is there. */
function isInside({ begin, size }: Partition, disk: DiskReader): boolean {
  return Number.isSafeInteger(begin) && size > 0 && begin > 0 && begin < disk.size;
}
