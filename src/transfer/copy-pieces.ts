/** Consecutive virtual blocks whose data is consecutive, too. In blocks. */
export interface MappedRun {
  readonly begin: number;
  readonly data: number;
  readonly length: number;
}

/** One read and one write. In bytes; `from` in the data, `to` in the device. */
export interface Piece {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/** Large enough that a disk streams, small enough that several are in memory. */
const PIECE_BYTES = 2 * 2 ** 20;
/**
 * Pieces on their way at once: disks and what lies behind FUSE work on several, and scattered blocks need it.
 */
const PARALLEL = 4;

/** Cuts runs into pieces and drops what lies past `size`, where the last block ends behind the device. */
export async function* pieces(
  runs: Iterable<MappedRun> | AsyncIterable<MappedRun>,
  blockSize: number,
  size: number,
  most = PIECE_BYTES,
): AsyncGenerator<Piece> {
  for await (const run of runs) {
    const to = run.begin * blockSize;
    const length = Math.min(run.length * blockSize, size - to);
    for (let at = 0; at < length; at += most)
      yield { from: run.data * blockSize + at, to: to + at, length: Math.min(most, length - at) };
  }
}

export interface CopyWork {
  readonly read: (offset: number, into: Uint8Array) => Promise<void>;
  readonly write: (offset: number, from: Uint8Array) => Promise<void>;
  /** Told of the bytes of each piece that is done. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies pieces in no particular order, several at once. Rejects with the first failure when none is on its
 * way any more.
 */
export async function copyPieces(all: AsyncGenerator<Piece>, work: CopyWork): Promise<void> {
  let failed = false;
  const worker = async (): Promise<void> => {
    let buffer: Buffer | undefined;
    try {
      // A generator answers its callers one after the other.
      for (let next = await all.next(); next.done !== true && !failed; next = await all.next()) {
        work.signal?.throwIfAborted();
        buffer ??= Buffer.allocUnsafe(PIECE_BYTES);
        const { from, to, length } = next.value;
        const bytes = buffer.subarray(0, length);
        await work.read(from, bytes);
        await work.write(to, bytes);
        work.onBytes?.(length);
      }
    } catch (error) {
      failed = true;
      throw error;
    }
  };
  try {
    const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  } finally {
    await all.return(undefined);
  }
}
