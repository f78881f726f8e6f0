import { mask, maskedCrc } from './level-bytes.js';
import { crc32c } from '@node-rs/crc32';

/**
 * LevelDB's log format (doc/log_format.md), which MANIFEST shares:
 *
 * log := block*                                    32 KiB each, the last one shorter
 * block := record* filler?                         fewer than 7 bytes of filler
 * record := checksum:u32 length:u16 type:u8 data   little-endian; masked CRC-32C of type and data
 * type := 1 full | 2 first | 3 middle | 4 last
 */
export const LOG_BLOCK = 32768;
const HEADER = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** The consumer of a log's records. */
export interface LogReader {
  /** How many bytes of a record `record` is to be given; the rest is checked all the same. */
  readonly headBytes: number;
  /**
   * A record that is whole and follows on those before it. The bytes are its own. @returns what is wrong with
   * it
   */
  record(data: Uint8Array, at: number): string | undefined;
  /**
   * Whether `head` begins a record that was written after the bad one `gap` bytes before it. The checksum is
   * not looked at yet.
   */
  follows(head: Uint8Array, gap: number): boolean;
  /**
   * What may still be taken of a record that is not as it was written, of which only the length is right.
   * Where there is this, a record whose length is all that is wrong is taken as if it were well.
   * @returns whether it follows on those before it, so that those behind it do, too
   */
  damagedRecord?(data: Uint8Array, at: number): boolean;
}

/** How a log ends. */
export interface LogEnd {
  /** Bytes before the first record that is not whole; undefined: all are. */
  readonly badAt: number | undefined;
  /**
   * What shows that a record was lost which was written to its end; undefined: a crash may have cut the log
   * off like this.
   */
  readonly damage: string | undefined;
  /** Records behind the bad one that are whole. */
  readonly behind: number;
  /** Bytes before the last of them; 0 where there is none. */
  readonly lastBehindAt: number;
}

/**
 * A crash may cut the end off a log, or leave holes in the one record that was on its way: each batch is
 * synced before the next begins. LevelDB passes over a record that is not whole, and goes on behind it; so
 * one behind it that is whole shows that this was no crash.
 */
export class LogScan {
  readonly #reader: LogReader;
  #badAt: number | undefined;
  #damage: string | undefined;
  #behind = 0;
  #lastBehindAt = 0;
  #parts: { at: number; bytes: number; isWell: boolean; readonly data: Uint8Array[] } | undefined;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  block(block: Buffer, at: number): void {
    for (let from = 0; block.length - from >= HEADER;) {
      const end = recordEnd(block, from);
      if (end !== undefined) {
        this.#fragment(block[from + 6]!, block.subarray(from + HEADER, end), at + from);
        from = end;
        continue;
      }
      const real = this.#badAt === undefined ? endByChecksum(block, from) : undefined;
      const usable =
        this.#reader.damagedRecord === undefined ? undefined : (real ?? plausibleEnd(block, from));
      if (this.#badAt === undefined && usable !== undefined) {
        this.#fragment(
          block[from + 6]!,
          block.subarray(from + HEADER, usable),
          at + from,
          real !== undefined,
        );
        from = usable;
        continue;
      }
      this.#bad(at + from);
      if (real !== undefined) this.#damage ??= 'its length is wrong';
      from = this.#search(block, real ?? from + 1, at);
    }
  }

  end(): LogEnd {
    return {
      badAt: this.#badAt ?? this.#parts?.at,
      damage: this.#damage,
      behind: this.#behind,
      lastBehindAt: this.#lastBehindAt,
    };
  }

  #fragment(type: number, data: Uint8Array, at: number, isWell = true): void {
    const starts = type === FULL || type === FIRST;
    if (starts && this.#parts !== undefined) this.#bad(this.#parts.at);
    if (this.#badAt !== undefined) {
      if (starts) this.#foundBehind(at);
      return;
    }
    if (starts) this.#parts = { at, bytes: 0, isWell: true, data: [] };
    const parts = this.#parts;
    if (parts === undefined || type > LAST || type < FULL) {
      this.#bad(at);
      return;
    }
    const wanted = data.subarray(0, Math.max(0, this.#reader.headBytes - parts.bytes));
    // The caller reads the next blocks into the same memory, and slice() of a Buffer is no copy.
    if (wanted.length > 0) parts.data.push(Buffer.from(wanted));
    parts.bytes += wanted.length;
    parts.isWell &&= isWell;
    if (type === FIRST || type === MIDDLE) return;
    this.#parts = undefined;
    const record = Buffer.concat(parts.data);
    if (!parts.isWell) {
      if (this.#reader.damagedRecord?.(record, parts.at) !== true) this.#bad(parts.at);
      return;
    }
    const problem = this.#reader.record(record, parts.at);
    if (problem === undefined) return;
    this.#bad(parts.at);
    this.#damage = problem;
  }

  #bad(at: number): void {
    this.#badAt ??= at;
    this.#parts = undefined;
  }

  #foundBehind(at: number): void {
    this.#lastBehindAt = at;
    this.#damage ??= 'batches that are well follow it';
    this.#behind++;
  }

  /**
   * Where in the block behind a bad record one begins that proves to be later; the block's end where none
   * does.
   */
  #search(block: Buffer, start: number, at: number): number {
    for (let from = start; block.length - from > HEADER; from++) {
      const type = block[from + 6]!;
      if (type !== FULL && type !== FIRST) continue;
      const length = block.readUInt16LE(from + 4);
      if (from + HEADER + length > block.length) continue;
      const head = block.subarray(from + HEADER, from + HEADER + length);
      if (this.#reader.follows(head, at + from - this.#badAt!) && recordEnd(block, from) !== undefined)
        return from;
    }
    return block.length;
  }
}

/** Bytes of the records at the start of a part of a block that are there to their ends. */
export function wholeRecords(part: Buffer): number {
  for (let from = 0; ;) {
    if (part.length - from < HEADER) return from;
    const end = from + HEADER + part.readUInt16LE(from + 4);
    if (end > part.length) return from;
    from = end;
  }
}

/** Undefined: no record that is whole begins here. */
function recordEnd(block: Buffer, from: number): number | undefined {
  const end = from + HEADER + block.readUInt16LE(from + 4);
  if (end > block.length || block.readUInt32LE(from) !== maskedCrc(block.subarray(from + 6, end)))
    return undefined;
  return end;
}

/** Where a record ends that is not as it was written, if its length and type are. */
function plausibleEnd(block: Buffer, from: number): number | undefined {
  const type = block[from + 6]!;
  const end = from + HEADER + block.readUInt16LE(from + 4);
  if (type < FULL || type > LAST || end > block.length) return undefined;
  return (type === FIRST || type === MIDDLE) && end !== block.length ? undefined : end;
}

/**
 * The checksum is not over the length: where it holds for another one, the record was written to its end and
 * only its length has changed.
 */
function endByChecksum(block: Buffer, from: number): number | undefined {
  const type = block[from + 6]!;
  if (type < FULL || type > LAST) return undefined;
  const wanted = block.readUInt32LE(from);
  // Those that go on in the next block reach to the end of theirs.
  const first = type === FULL || type === LAST ? from + HEADER + 1 : block.length;
  let crc = crc32c(block.subarray(from + 6, first));
  for (let end = first; ; end++) {
    if (mask(crc) === wanted) return end;
    if (end >= block.length) return undefined;
    crc = crc32c(block.subarray(end, end + 1), crc);
  }
}
