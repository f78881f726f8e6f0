import { createHash } from 'node:crypto';
import { isZero } from '../format/is-zero.js';

/** All chunks are multiples of it, so that pools with different ones agree. */
const UNIT = 65536;

/**
 * SHA-256 of what a device holds, whatever pool it is in: of each unit of 64 KiB that is not all zeroes, its
 * number (u64) and its bytes, and at the end the device's size (u64). What is not mapped need not be read.
 */
export class ContentDigest {
  readonly #hash = createHash('sha256');

  /** Ascending; begins where a unit does, and ends where one or the device does. */
  add(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += UNIT) {
      const unit = bytes.subarray(at, at + UNIT);
      if (isZero(unit)) continue;
      this.#hash.update(number((offset + at) / UNIT)).update(unit);
    }
  }

  /** In hex. */
  end(size: number): string {
    return this.#hash.update(number(size)).digest('hex');
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
