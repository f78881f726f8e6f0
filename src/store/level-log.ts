import { open } from 'node:fs/promises';
import { crc32c } from '@node-rs/crc32';

/**
 * LevelDB's log format (doc/log_format.md), which MANIFEST shares:
 *
 * log := block*                                    32 KiB each, the last one shorter
 * block := record* filler?                         fewer than 7 bytes of filler
 * record := checksum:u32 length:u16 type:u8 data   little-endian; masked CRC-32C of type and data
 * type := 1 full | 2 first | 3 middle | 4 last
 */
const BLOCK = 32768;
const HEADER = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** Where a log was cut off by a crash, or is damaged. */
export interface LogEnd {
  /** Bytes from the start of the first record that LevelDB leaves out and that others follow; undefined: all are well. */
  readonly holeAt: number | undefined;
}

/**
 * Reads the records of a log, handing on each whole one.
 *
 * A crash may cut the end off a log or leave it half written: LevelDB ignores that, and so does this. But LevelDB also ignores
 * a damaged record in the middle, applies those behind it and so loses a batch that it had called durable: that is a hole.
 * @throws the file system's error
 */
export async function readLog(path: string, onRecord?: (record: Uint8Array) => void): Promise<LogEnd> {
  const scan = new LogScan(onRecord);
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const window = Buffer.alloc(BLOCK * 64);
    for (let at = 0; at < size; at += window.length) {
      const { bytesRead } = await handle.read(window, 0, window.length, at);
      for (let from = 0; from < bytesRead && scan.holeAt === undefined; from += BLOCK)
        scan.block(window.subarray(from, Math.min(from + BLOCK, bytesRead)), at + from);
      if (scan.holeAt !== undefined || bytesRead < window.length) break;
    }
  } finally {
    await handle.close();
  }
  return { holeAt: scan.holeAt };
}

class LogScan {
  holeAt: number | undefined;
  readonly #onRecord: ((record: Uint8Array) => void) | undefined;
  #badAt: number | undefined;
  #parts: Uint8Array[] | undefined;

  constructor(onRecord: ((record: Uint8Array) => void) | undefined) {
    this.#onRecord = onRecord;
  }

  block(block: Buffer, at: number): void {
    let from = 0;
    while (block.length - from >= HEADER && this.holeAt === undefined) {
      const length = block.readUInt16LE(from + 4);
      const type = block[from + 6]!;
      const end = from + HEADER + length;
      // LevelDB drops the rest of the block behind a bad record; where its length still holds, that shows what is lost.
      if (end > block.length || unmask(block.readUInt32LE(from)) !== crc32c(block.subarray(from + 6, end)))
        this.#bad(at + from);
      else this.#fragment(type, block.subarray(from + HEADER, end), at + from);
      from = end;
    }
  }

  #fragment(type: number, data: Uint8Array, at: number): void {
    const starts = type === FULL || type === FIRST;
    if (starts && this.#parts !== undefined) this.#bad(at);
    if (starts && this.#badAt !== undefined) {
      this.holeAt = this.#badAt;
    } else if (starts) {
      this.#parts = [this.#keep(data)];
    } else if (this.#parts === undefined || (type !== MIDDLE && type !== LAST)) {
      this.#bad(at);
    } else {
      this.#parts.push(this.#keep(data));
    }
    if ((type === FULL || type === LAST) && this.#parts !== undefined) {
      this.#onRecord?.(Buffer.concat(this.#parts));
      this.#parts = undefined;
    }
  }

  #bad(at: number): void {
    this.#badAt ??= at;
    this.#parts = undefined;
  }

  /** The window is used again; where nobody wants the records, only their order matters. */
  #keep(data: Uint8Array): Uint8Array {
    return this.#onRecord === undefined ? data.subarray(0, 0) : data.slice();
  }
}

/** util/crc32c.h: checksums are stored rotated and shifted, since a CRC of data that holds its own CRC says little. */
function unmask(masked: number): number {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
