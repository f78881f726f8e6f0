/** The part of a request that lies in one virtual block. Offsets and lengths in bytes. */
export interface Segment {
  readonly block: number;
  /** From the start of the block. */
  readonly offset: number;
  readonly length: number;
  /** From the start of the request. */
  readonly at: number;
}

/** A request cut at block boundaries, ascending. */
export function* segments(offset: number, length: number, blockSize: number): Generator<Segment> {
  for (let at = 0; at < length;) {
    const block = Math.floor((offset + at) / blockSize);
    const within = offset + at - block * blockSize;
    const part = Math.min(blockSize - within, length - at);
    yield { block, offset: within, length: part, at };
    at += part;
  }
}

/**
 * The blocks that lie wholly in the range, [first, end) (dm-thin.c, `get_bio_block_range`). A block that the end of the device
 * cuts short is whole when the range reaches that end.
 */
export function wholeBlocks(
  offset: number,
  length: number,
  blockSize: number,
  deviceSize: number,
): { first: number; end: number } {
  const first = Math.ceil(offset / blockSize);
  const stop = offset + length;
  const end = stop >= deviceSize ? Math.ceil(deviceSize / blockSize) : Math.floor(stop / blockSize);
  return { first, end: Math.max(first, end) };
}

export function isZero(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < buffer.length; at += ZEROES.length)
    if (
      buffer.compare(
        ZEROES,
        0,
        Math.min(ZEROES.length, buffer.length - at),
        at,
        Math.min(at + ZEROES.length, buffer.length),
      ) !== 0
    )
      return false;
  return true;
}

const ZEROES = Buffer.alloc(64 * 1024);
