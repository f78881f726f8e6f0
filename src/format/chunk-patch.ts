import { damage } from './damage.js';

/**
 * chunk-patch := pages:u32 page × n        n: bits in pages; bit i, least significant first, set: page i of
 * the chunk follows
 *
 * What of a chunk differs from the value below it, which is its own whole one or that of its backing
 * (chunk-backing.ts).
 */
/** Bytes before the pages. */
export const PATCH_HEAD = 4;

/** Bytes of a patch of so many pages. */
export function chunkPatchBytes(pages: number, pageSize: number): number {
  return PATCH_HEAD + countPages(pages) * pageSize;
}

/**
 * @param data of the whole chunk
 * @param body of `chunkPatchBytes` bytes, and any content
 */
export function packChunkPatch(
  pages: number,
  data: Uint8Array,
  pageSize: number,
  body = new Uint8Array(chunkPatchBytes(pages, pageSize)),
): Uint8Array {
  new DataView(body.buffer, body.byteOffset).setUint32(0, pages >>> 0, true);
  let at = PATCH_HEAD;
  eachPage(pages, (page) => {
    body.set(data.subarray(page * pageSize, (page + 1) * pageSize), at);
    at += pageSize;
  });
  return body;
}

/**
 * Lays the pages over `data`, a whole chunk.
 * @returns the pages, as a mask
 * @throws ThinError damaged, naming `path`
 */
export function applyChunkPatch(body: Uint8Array, data: Uint8Array, pageSize: number, path: string): number {
  const pages = pagesIn(body, data.length, pageSize, path);
  let at = PATCH_HEAD;
  eachPage(pages, (page) => {
    data.set(body.subarray(at, at + pageSize), page * pageSize);
    at += pageSize;
  });
  return pages;
}

function pagesIn(body: Uint8Array, chunkSize: number, pageSize: number, path: string): number {
  if (body.length < PATCH_HEAD) throw damage(path, `it is cut off at ${body.length} bytes`);
  const pages = new DataView(body.buffer, body.byteOffset).getInt32(0, true);
  const known = chunkSize / pageSize;
  if (pages === 0 || (known < 32 && pages >>> known !== 0))
    throw damage(path, `its pages are ${(pages >>> 0).toString(2)}, in a chunk that has ${known}`);
  const expected = chunkPatchBytes(pages, pageSize);
  if (body.length !== expected)
    throw damage(path, `it has ${body.length} bytes, and its pages make ${expected}`);
  return pages;
}

/** Bits in a mask of up to 32 pages. */
export function countPages(pages: number): number {
  let bits = pages - ((pages >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function eachPage(pages: number, visit: (page: number) => void): void {
  for (let rest = pages; rest !== 0; rest &= rest - 1) visit(31 - Math.clz32(rest & -rest));
}
