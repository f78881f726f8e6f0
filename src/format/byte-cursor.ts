import assert from 'node:assert/strict';
import { ThinError } from '../errors/thin-error.js';

const MAX_SAFE_HIGH = 2 ** 21;

/** Writes little-endian fields one after the other into a buffer that grows. */
export class ByteWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u8(value: number): this {
    // First, here and below: it may put another buffer in place.
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u32(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value < 2 ** 32, `${value} is not a u32`);
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** Up to 2^53 - 1. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `${value} is not a u64 that a number holds`);
    const at = this.#reserve(8);
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    return this;
  }

  /** UTF-8 behind its length in bytes as u32. */
  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  /** Behind their number as u32. */
  bytes(value: Uint8Array): this {
    this.u32(value.length);
    // Room first: growing replaces the buffer.
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** As they are; how many is known where they are read. */
  raw(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/**
 * Reads what `ByteWriter` wrote. Every read past the end, and bytes left over at `finish`, are `damaged`,
 * naming `path`.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: string;
  #at = 0;

  constructor(bytes: Uint8Array, path: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#path = path;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  u64(): number {
    const at = this.#advance(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= MAX_SAFE_HIGH) throw this.damaged('a number is too large');
    return this.#view.getUint32(at, true) + high * 2 ** 32;
  }

  text(): string {
    return Buffer.from(this.bytes()).toString('utf8');
  }

  /** A view into what is read. */
  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** So many bytes, a view into what is read. */
  raw(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** One of `choices`, stored as its place among them. */
  choice<T>(choices: readonly T[]): T {
    const index = this.u8();
    const found = choices[index];
    if (found === undefined) throw this.damaged(`the value ${index} is not known`);
    return found;
  }

  finish(): void {
    if (this.#at !== this.#bytes.length)
      throw this.damaged(`${this.#bytes.length - this.#at} bytes too many`);
  }

  damaged(problem: string): ThinError {
    return new ThinError('damaged', `${this.#path}: ${problem}`);
  }

  #advance(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw this.damaged('cut off');
    this.#at = at + length;
    return at;
  }
}
