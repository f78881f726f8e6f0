const ZEROES = Buffer.alloc(64 * 1024);

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
