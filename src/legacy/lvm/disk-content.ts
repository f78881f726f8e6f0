import type { DiskReader } from '../disk-reader.js';
import { PROBE_BYTES, probeFilesystem } from '../filesystem-probe.js';
import { isThinSuperblock } from '../superblock.js';

/** What a disk without LVM's label seems to be. */
interface DiskContent {
  readonly text: string;
  readonly encrypted: boolean;
}

const LUKS = Buffer.from('LUKS\xba\xbe', 'latin1');
const MD_MAGIC = 0xa92b4efc;
/** Version 1.2, the usual one. */
const MD_AT = 4096;
const LOOKED_AT = 8192;

function isEncrypted(start: Buffer): boolean {
  return start.subarray(0, LUKS.length).equals(LUKS);
}

/** Undefined where nothing is recognised. Errors: damaged (its beginning cannot be read). */
export function describeContent(disk: DiskReader): DiskContent | undefined {
  if (disk.size < LOOKED_AT) return undefined;
  const bytes = disk.readSync(0, LOOKED_AT);
  const of = (text: string, encrypted = false): DiskContent => ({ text: `${disk.path} ${text}`, encrypted });
  if (isEncrypted(bytes)) return of('is encrypted (LUKS)', true);
  if (isThinSuperblock(bytes)) return of("is a thin pool's metadata, which --metadata takes");
  if (bytes.readUInt32LE(MD_AT) === MD_MAGIC) return of('is a part of a Linux software RAID (mdadm)');
  const filesystem = probeFilesystem(bytes.subarray(0, PROBE_BYTES));
  return filesystem === undefined ? undefined : of(`holds ${filesystem.type}, which mount -o loop,ro shows`);
}
