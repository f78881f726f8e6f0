import { legacyDamage } from '../legacy-damage.js';
import type { DiskReader } from '../disk-reader.js';
import { lvmChecksum } from './lvm-checksum.js';

const SECTOR = 512;
/** A label is in one of the first four sectors (LABEL_SCAN_SECTORS). */
const SCANNED = 4;
const MAGIC = Buffer.from('LABELONE');
const TYPE = Buffer.from('LVM2 001');
const CRC_FROM = 20;
const ID_BYTES = 32;
const LOCATION_BYTES = 16;
const HEADER_AT = 32;
const EXTENSION_VERSION = 2;
/** PV_EXT_USED: a group has it. */
const PV_IN_USE = 1;

/** In bytes from the beginning of the physical volume. */
export interface Area {
  readonly begin: number;
  readonly size: number;
}

/**
 * What a disk or partition says of itself as a physical volume (lib/format_text/layout.h, `struct
 * pv_header`).
 */
export interface PvLabel {
  /** 32 characters, without dashes. */
  readonly id: string;
  /** Bytes that it had when it was made. */
  readonly deviceSize: number;
  readonly metadataAreas: readonly Area[];
}

/**
 * label := "LABELONE" sector:u64 crc:u32 offset:u32 "LVM2 001"; at offset: id:32 device-size:u64 area* 0:16 area* 0:16
 *
 * The first list of areas holds data, the second metadata. Undefined where there is no label.
 * Errors: damaged (a label whose checksum does not fit, and no other that does).
 */
export function readPvLabel(disk: DiskReader): PvLabel | undefined {
  const length = Math.min(SCANNED * SECTOR, disk.size - (disk.size % SECTOR));
  if (length === 0) return undefined;
  const bytes = disk.readSync(0, length);
  let broken: number | undefined;
  for (let sector = 0; sector * SECTOR < length; sector++) {
    const label = bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    if (!label.subarray(0, 8).equals(MAGIC)) continue;
    const sound =
      label.readUInt32LE(16) === lvmChecksum(label.subarray(CRC_FROM)) &&
      label.readBigUInt64LE(8) === BigInt(sector) &&
      label.subarray(24, 32).equals(TYPE);
    if (sound) return unpackHeader(label, label.readUInt32LE(20));
    broken = sector;
  }
  if (broken !== undefined)
    throw legacyDamage(`the LVM label of ${disk.path} (sector ${broken})`, 'its checksum does not fit');
  return undefined;
}

function unpackHeader(label: Buffer, from: number): PvLabel {
  const locations = from + ID_BYTES + 8;
  const data = areasAt(label, locations);
  const metadata = areasAt(label, locations + (data.length + 1) * LOCATION_BYTES);
  return {
    id: label.toString('latin1', from, from + ID_BYTES),
    deviceSize: Number(label.readBigUInt64LE(from + ID_BYTES)),
    metadataAreas: metadata,
  };
}

/** Up to one whose place is 0, or the end of the sector. */
function areasAt(label: Buffer, from: number): readonly Area[] {
  const areas: Area[] = [];
  for (let at = from; at + LOCATION_BYTES <= label.length; at += LOCATION_BYTES) {
    const begin = Number(label.readBigUInt64LE(at));
    if (begin === 0) break;
    areas.push({ begin, size: Number(label.readBigUInt64LE(at + 8)) });
  }
  return areas;
}

/** The first four sectors of a physical volume whose one data area begins at `dataBegin`. */
export function packPvLabel({ id, deviceSize, metadataAreas }: PvLabel, dataBegin: number): Buffer {
  const bytes = Buffer.alloc(SCANNED * SECTOR);
  const label = bytes.subarray(SECTOR, 2 * SECTOR);
  MAGIC.copy(label);
  label.writeBigUInt64LE(1n, 8);
  label.writeUInt32LE(HEADER_AT, 20);
  TYPE.copy(label, 24);
  label.write(id, HEADER_AT, 'latin1');
  label.writeBigUInt64LE(BigInt(deviceSize), HEADER_AT + ID_BYTES);
  const nothing = { begin: 0, size: 0 };
  // Size 0: up to the end of the disk.
  const lists = [{ begin: dataBegin, size: 0 }, nothing, ...metadataAreas, nothing];
  let at = HEADER_AT + ID_BYTES + 8;
  for (const { begin, size } of lists) {
    label.writeBigUInt64LE(BigInt(begin), at);
    label.writeBigUInt64LE(BigInt(size), at + 8);
    at += LOCATION_BYTES;
  }
  label.writeUInt32LE(EXTENSION_VERSION, at);
  label.writeUInt32LE(PV_IN_USE, at + 4);
  label.writeUInt32LE(lvmChecksum(label.subarray(CRC_FROM)), 16);
  return bytes;
}
