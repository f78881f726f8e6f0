import type { LineSink } from './dump-words.js';

const ZERO = 0x30;
/** More than the longest line of a run. */
const SLACK = 512;
/** What arithmetic on 32-bit integers, which is faster, is exact for. */
const SMALL = 2 ** 31;

/**
 * Lines as bytes of ASCII. They are written digit by digit: texts joined of millions of short strings took
 * more time for their garbage than the metadata took to read.
 */
export class LineBytes implements LineSink {
  readonly #size: number;
  /** The few words of a format, which are copied for each line. */
  readonly #encoded = new Map<string, Uint8Array>();
  #bytes: Buffer;
  #length = 0;

  /** `size`: bytes after which there is a piece to take. */
  constructor(size: number) {
    this.#size = size;
    this.#bytes = Buffer.allocUnsafe(size + SLACK);
  }

  get isFull(): boolean {
    return this.#length >= this.#size;
  }

  text(part: string): void {
    const encoded = this.#encoded.get(part) ?? this.#encode(part);
    this.#reserve(encoded.length);
    this.#bytes.set(encoded, this.#length);
    this.#length += encoded.length;
  }

  /** A whole number, not negative. */
  number(value: number): void {
    if (value >= SMALL) {
      const part = String(value);
      this.#reserve(part.length);
      this.#length += this.#bytes.write(part, this.#length, 'latin1');
      return;
    }
    let digits = 1;
    for (let power = 10; power <= value; power *= 10) digits++;
    this.#reserve(digits);
    const bytes = this.#bytes;
    const end = this.#length + digits;
    let rest = value | 0;
    for (let at = end - 1; at >= this.#length; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
    this.#length = end;
  }

  /** What was written since the last time; it stays as it is. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.allocUnsafe(this.#size + SLACK);
    this.#length = 0;
    return taken;
  }

  #encode(part: string): Uint8Array {
    const encoded = Buffer.from(part, 'latin1');
    this.#encoded.set(part, encoded);
    return encoded;
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe((this.#length + length) * 2);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
