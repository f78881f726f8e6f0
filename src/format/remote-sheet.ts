import { damage } from './damage.js';

/** Chunks of one sheet. */
export const REMOTE_PER_SHEET = 512;
const ENTRY_BYTES = 8;

/**
 * remote-sheet := (image:u32 block:u32) × 512      one a chunk, in order; image 0: the chunk's bytes are here
 *
 * The chunk's bytes are those of the image (remote-image.ts) from its block `block` on, in blocks of 65,536
 * bytes, and are in the store that the image is in.
 */
export interface RemoteEntry {
  /** From 1. */
  readonly image: number;
  /** Block of the image, of 65,536 bytes. */
  readonly block: number;
}

/** @param entryOf index, 0 .. 511 → what the sheet says; undefined: the chunk's bytes are here */
export function packRemoteSheet(entryOf: (index: number) => RemoteEntry | undefined): Uint8Array {
  const body = new Uint8Array(REMOTE_PER_SHEET * ENTRY_BYTES);
  const view = new DataView(body.buffer);
  for (let index = 0; index < REMOTE_PER_SHEET; index++) {
    const entry = entryOf(index);
    view.setUint32(index * ENTRY_BYTES, entry?.image ?? 0, true);
    view.setUint32(index * ENTRY_BYTES + 4, entry?.block ?? 0, true);
  }
  return body;
}

/** @throws ThinError damaged, naming `path` */
export function unpackRemoteSheet(
  body: Uint8Array,
  path: string,
  visit: (index: number, entry: RemoteEntry) => void,
): void {
  if (body.length !== REMOTE_PER_SHEET * ENTRY_BYTES) throw damage(path, `it has ${body.length} bytes`);
  const view = new DataView(body.buffer, body.byteOffset);
  for (let index = 0; index < REMOTE_PER_SHEET; index++) {
    const image = view.getUint32(index * ENTRY_BYTES, true);
    if (image !== 0) visit(index, { image, block: view.getUint32(index * ENTRY_BYTES + 4, true) });
  }
}
