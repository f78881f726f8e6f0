import { crc32 } from '@node-rs/crc32';

/** INITIAL_CRC of lib/misc/crc.h. */
const INITIAL = 0xf597a6cf;

/** LVM's own: the polynomial of CRC-32, begun elsewhere, and inverted neither before nor behind. */
export function lvmChecksum(...parts: readonly Uint8Array[]): number {
  let state = ~INITIAL >>> 0;
  for (const part of parts) state = crc32(part, state);
  return ~state >>> 0;
}
