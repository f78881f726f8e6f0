import { crc32c } from '@node-rs/crc32';

/**
 * A checksum as LevelDB stores it over `bytes`: rotated and shifted, since a CRC of data that holds its own
 * CRC says little (util/crc32c.h).
 */
export function maskedCrc(bytes: Uint8Array): number {
  return mask(crc32c(bytes));
}

export function mask(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** util/coding.cc: seven bits a byte, least significant first. Numbers beyond 2^53 lose bits. */
export class VarintReader {
  /** Something was to be read beyond the end. */
  overrun = false;
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; this.#at < this.#bytes.length; scale *= 128) {
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    this.overrun = true;
    return 0;
  }

  byte(): number {
    if (this.ended) this.overrun = true;
    return this.#bytes[this.#at++] ?? 0;
  }

  /** A view; empty where it would reach beyond the end. */
  take(length: number): Uint8Array {
    const from = this.#at;
    this.#at += length;
    if (this.#at <= this.#bytes.length) return this.#bytes.subarray(from, this.#at);
    this.overrun = true;
    return this.#bytes.subarray(0, 0);
  }

  /** Reads a length and that many bytes. */
  bytes(): Uint8Array {
    return this.take(this.number());
  }
}

/** A key of LevelDB's own: ours, and eight bytes of sequence number and kind (db/dbformat.h). */
export interface InternalKey {
  readonly key: Uint8Array;
  readonly sequence: number;
  /** 0 a deletion, 1 a value. */
  readonly type: number;
}

const TAG_BYTES = 8;

/** Undefined: too short to be one. */
export function unpackInternalKey(bytes: Uint8Array): InternalKey | undefined {
  const at = bytes.length - TAG_BYTES;
  if (at < 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  return { key: bytes.subarray(0, at), sequence: sequenceAt(view, 1), type: view.getUint8(0) };
}

/** 56 bits, little-endian. */
function sequenceAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32 + view.getUint8(at + 6) * 2 ** 48;
}
