/** A page is what one request of a stress writer covers. */
export const PAGE = 4096;

/** A page that says where it belongs, who wrote it, and as how manieth. Sixteen bytes, over and over. */
export function stampedPage(page: number, writer: number, sequence: number): Uint8Array {
  const words = new Uint32Array(PAGE / 4);
  for (let at = 0; at < words.length; at += 4) words.set([page + 1, writer, sequence, at], at);
  return new Uint8Array(words.buffer);
}

/** The sequence number; 0 for a page of zeroes. @throws where it is torn, or belongs elsewhere */
export function sequenceOf(bytes: Uint8Array, page: number, writer: number): number {
  const words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + PAGE));
  const sequence = words[2]!;
  const expected = sequence === 0 ? new Uint8Array(PAGE) : stampedPage(page, writer, sequence);
  if (Buffer.compare(bytes, expected) === 0) return sequence;
  const found = [...words.subarray(0, 4)].join('/');
  const last = [...words.subarray(-4)].join('/');
  throw new Error(`page ${page} of writer ${writer} is torn or foreign: ${found} … ${last}`);
}

const SECTOR = 512;

/**
 * Of each sector of the page: a disk that lost its power may have the old one here and the new one there.
 * @throws where a sector belongs elsewhere
 */
export function sequencesOf(bytes: Uint8Array, page: number, writer: number): number[] {
  const words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + PAGE));
  return Array.from({ length: PAGE / SECTOR }, (_, sector) => {
    const at = sector * SECTOR;
    const sequence = words[at / 4 + 2]!;
    const expected = sequence === 0 ? new Uint8Array(PAGE) : stampedPage(page, writer, sequence);
    if (Buffer.compare(bytes.subarray(at, at + SECTOR), expected.subarray(at, at + SECTOR)) === 0)
      return sequence;
    throw new Error(`sector ${sector} of page ${page} of writer ${writer} is foreign`);
  });
}

/** Two u32 a page in a writer's journal: begun, then acknowledged. */
export const JOURNAL_ENTRY = 8;
