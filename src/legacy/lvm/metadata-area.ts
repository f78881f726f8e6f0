import assert from 'node:assert/strict';
import { legacyDamage } from '../legacy-damage.js';
import type { DiskReader } from '../disk-reader.js';
import { lvmChecksum } from './lvm-checksum.js';
import type { Area } from './pv-label.js';

/** MDA_HEADER_SIZE: where the ring of texts begins, and begins again. */
const HEADER_BYTES = 512;
const MAGIC = Buffer.from(' LVM2 x[5A%r0N*>', 'latin1');
const VERSION = 1;
const LOCATIONS_AT = 40;
/**
 * RAW_LOCN_IGNORED: the administrator turned this copy off (vgchange --vgmetadatacopies), and it is not
 * brought up to date.
 */
const IGNORED = 1;
/** Far more than any group of volumes describes. */
const MAX_TEXT = 256 * 2 ** 20;

/**
 * header := crc:u32 magic:16 version:u32 start:u64 size:u64 (offset:u64 size:u64 crc:u32 flags:u32) × 4
 *
 * The text that was committed last to an area; undefined where it has none. A text that meets the area's end
 * goes on behind the header. Errors: damaged.
 */
export function readMetadataText(disk: DiskReader, area: Area): string | undefined {
  const path = `LVM metadata area of ${disk.path} at byte ${area.begin}`;
  if (area.begin + HEADER_BYTES > disk.size) throw legacyDamage(path, 'the disk ends before it');
  const header = disk.readSync(area.begin, HEADER_BYTES);
  if (!header.subarray(4, 20).equals(MAGIC)) throw legacyDamage(path, 'it has no header');
  if (header.readUInt32LE(0) !== lvmChecksum(header.subarray(4)))
    throw legacyDamage(path, "its header's checksum does not fit");
  if (header.readUInt32LE(20) !== VERSION)
    throw legacyDamage(path, `its version is ${header.readUInt32LE(20)}, and ${VERSION} is known`);
  const areaSize = Number(header.readBigUInt64LE(32));
  const offset = Number(header.readBigUInt64LE(LOCATIONS_AT));
  const size = Number(header.readBigUInt64LE(LOCATIONS_AT + 8));
  if (offset === 0 || (header.readUInt32LE(LOCATIONS_AT + 20) & IGNORED) !== 0) return undefined;
  if (offset < HEADER_BYTES || offset >= areaSize || size > areaSize - HEADER_BYTES || size > MAX_TEXT)
    throw legacyDamage(path, `its text cannot lie at ${offset} with ${size} bytes`);
  const first = Math.min(size, areaSize - offset);
  const parts = [disk.readSync(area.begin + offset, first)];
  if (first < size) parts.push(disk.readSync(area.begin + HEADER_BYTES, size - first));
  if (lvmChecksum(...parts) !== header.readUInt32LE(LOCATIONS_AT + 16))
    throw legacyDamage(path, "its text's checksum does not fit");
  return Buffer.concat(parts).toString('utf8').replace(/\0+$/, '');
}

/**
 * A whole metadata area with one text, `offset` bytes into it; what does not fit behind goes on behind the
 * header.
 */
export function packMetadataArea({ begin, size }: Area, text: string, offset = HEADER_BYTES): Buffer {
  const bytes = Buffer.alloc(size);
  const content = Buffer.from(`${text}\0`);
  assert(content.length <= size - HEADER_BYTES, 'the text fits into its area');
  const first = Math.min(content.length, size - offset);
  content.copy(bytes, offset, 0, first);
  content.copy(bytes, HEADER_BYTES, first);
  MAGIC.copy(bytes, 4);
  bytes.writeUInt32LE(VERSION, 20);
  bytes.writeBigUInt64LE(BigInt(begin), 24);
  bytes.writeBigUInt64LE(BigInt(size), 32);
  bytes.writeBigUInt64LE(BigInt(offset), LOCATIONS_AT);
  bytes.writeBigUInt64LE(BigInt(content.length), LOCATIONS_AT + 8);
  bytes.writeUInt32LE(lvmChecksum(content), LOCATIONS_AT + 16);
  bytes.writeUInt32LE(lvmChecksum(bytes.subarray(4, HEADER_BYTES)), 0);
  return bytes;
}
