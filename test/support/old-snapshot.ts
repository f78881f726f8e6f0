import { ByteWriter } from '../../src/format/byte-cursor.js';
import { packDeviceRecord, type DeviceRecord } from '../../src/format/device-record.js';
import { packSuperblock, type Superblock } from '../../src/format/superblock.js';

/** The body of a metadata snapshot of version 1, as docs/on-disk-format.md has it. */
export function packOldSnapshot(
  createdAt: number,
  superblock: Superblock,
  devices: readonly DeviceRecord[],
): Uint8Array {
  const to = new ByteWriter().u64(createdAt).bytes(packSuperblock(superblock)).u32(devices.length);
  for (const record of devices) to.u32(record.id).bytes(packDeviceRecord(record));
  return to.finish();
}
