import { ThinError } from '../errors/thin-error.js';

/** Entries (chunks or nodes) that one sheet of a space map counts. */
export const ENTRIES_PER_SHEET = 4096;
const BITMAP_BYTES = ENTRIES_PER_SHEET / 8;
const EXTRA_BYTES = 6;

/**
 * sheet   := bitmap extras
 * bitmap := 512 bytes, bit i (LSB first) set: entry i has a count of at least one
 * extras := n:u32 { index:u16 count:u32 } × n     counts above one, ascending by index
 *
 * Little-endian; the body of a sealed value. @param count the reference count of entry `index` of this sheet
 */
export function packSpaceMapSheet(count: (index: number) => number): Uint8Array {
  const bitmap = new Uint8Array(BITMAP_BYTES);
  const extras: number[] = [];
  for (let index = 0; index < ENTRIES_PER_SHEET; index++) {
    const references = count(index);
    if (references === 0) continue;
    bitmap[index >> 3]! |= 1 << (index & 7);
    if (references > 1) extras.push(index, references);
  }
  const bytes = new Uint8Array(BITMAP_BYTES + 4 + (extras.length / 2) * EXTRA_BYTES);
  bytes.set(bitmap);
  const view = new DataView(bytes.buffer);
  view.setUint32(BITMAP_BYTES, extras.length / 2, true);
  let at = BITMAP_BYTES + 4;
  for (let i = 0; i < extras.length; i += 2, at += EXTRA_BYTES) {
    view.setUint16(at, extras[i]!, true);
    view.setUint32(at + 2, extras[i + 1]!, true);
  }
  return bytes;
}

/** Calls `visit` for each entry with a count, ascending. @throws ThinError damaged, naming `path` */
export function unpackSpaceMapSheet(
  bytes: Uint8Array,
  path: string,
  visit: (index: number, count: number) => void,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const damaged = (problem: string) => new ThinError('damaged', `${path}: ${problem}`);
  if (bytes.length < BITMAP_BYTES + 4) throw damaged(`a space map sheet of ${bytes.length} bytes is cut off`);
  const extras = view.getUint32(BITMAP_BYTES, true);
  if (bytes.length !== BITMAP_BYTES + 4 + extras * EXTRA_BYTES)
    throw damaged(`a space map sheet of ${bytes.length} bytes cannot hold ${extras} counts`);
  const end = bytes.length;
  let at = BITMAP_BYTES + 4;
  for (let index = 0; index < ENTRIES_PER_SHEET; index++) {
    const used = (bytes[index >> 3]! & (1 << (index & 7))) !== 0;
    const hasExtra = at < end && view.getUint16(at, true) === index;
    if (hasExtra && !used) throw damaged(`entry ${index} has a count but is not in use`);
    if (hasExtra) {
      const count = view.getUint32(at + 2, true);
      if (count < 2) throw damaged(`entry ${index} has a count of ${count} among those above one`);
      visit(index, count);
      at += EXTRA_BYTES;
    } else if (used) visit(index, 1);
  }
  if (at !== end) throw damaged('counts are out of order');
}
