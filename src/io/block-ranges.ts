/**
 * The blocks that lie wholly in the range, [first, end) (dm-thin.c, `get_bio_block_range`). A block that the
 * end of the device cuts short is whole when the range reaches that end.
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
