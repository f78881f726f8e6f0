const NANOS_PER_MS = 1_000_000n;

/**
 * Unix time in nanoseconds, about a microsecond fine. The monotonic clock gives what is below a millisecond;
 * where the host's clock was moved since the process began, the host's clock is right.
 */
export function wallClock(
  read: () => { readonly wholeMs: number; readonly fineMs: number } = readClocks,
): bigint {
  const { wholeMs, fineMs } = read();
  const floor = BigInt(wholeMs) * NANOS_PER_MS;
  const fine = BigInt(Math.floor(fineMs)) * NANOS_PER_MS + BigInt(Math.floor((fineMs % 1) * 1e6));
  if (fine < floor) return floor;
  const last = floor + NANOS_PER_MS - 1n;
  return fine > last ? last : fine;
}

function readClocks(): { wholeMs: number; fineMs: number } {
  return { wholeMs: Date.now(), fineMs: performance.timeOrigin + performance.now() };
}
