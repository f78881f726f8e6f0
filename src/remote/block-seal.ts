import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import type { Digest } from './digest.js';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
export const CIPHER = 'aes-256-gcm';

/**
 * How what an image holds is named and kept from others' eyes: blocks by SHA-256 and in the clear, or, with a
 * key of the user's, by HMAC-SHA256 and in AES-256-GCM, both of OpenSSL by way of node:crypto. Can be made
 * anew on each thread from the key.
 */
export class BlockSeal {
  readonly #key: Uint8Array | undefined;
  readonly #cipherKey: Uint8Array;
  readonly #nameKey: Uint8Array;
  /** What tells one key from another without telling the key: 16 bytes in hex; empty without one. */
  readonly check: string;

  /** @param key 32 bytes; undefined: nothing is encrypted */
  constructor(key: Uint8Array | undefined) {
    this.#key = key;
    this.#cipherKey = derived(key, 'thinfuse remote blocks');
    this.#nameKey = derived(key, 'thinfuse remote names');
    this.check =
      key === undefined
        ? ''
        : Buffer.from(derived(key, 'thinfuse remote check')).subarray(0, 16).toString('hex');
  }

  get isEncrypting(): boolean {
    return this.#key !== undefined;
  }

  /** What a block is called, by its content. */
  nameOf(block: Uint8Array): Digest {
    const hash = this.#key === undefined ? createHash('sha256') : createHmac('sha256', this.#nameKey);
    return hash.update(block).digest('hex') as Digest;
  }

  /** @param purpose what `open` has to be told, too, so that nothing is taken for something else */
  seal(bytes: Uint8Array, purpose: string): Uint8Array {
    if (this.#key === undefined) return bytes;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#cipherKey, nonce).setAAD(Buffer.from(purpose));
    return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }

  /**
   * @throws ThinError damaged, naming `path`: it was changed, is something else, or was sealed with another
   * key
   */
  open(bytes: Uint8Array, purpose: string, path: string): Uint8Array {
    if (this.#key === undefined) return bytes;
    try {
      const nonce = bytes.subarray(0, NONCE_BYTES);
      const end = bytes.length - TAG_BYTES;
      const decipher = createDecipheriv(CIPHER, this.#cipherKey, nonce)
        .setAAD(Buffer.from(purpose))
        .setAuthTag(bytes.subarray(end));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, end)), decipher.final()]);
    } catch (error) {
      throw new ThinError('damaged', `${path}: it was sealed with another key, or was changed`, {
        cause: error,
      });
    }
  }
}

function derived(key: Uint8Array | undefined, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key ?? new Uint8Array(), new Uint8Array(), purpose, 32));
}

/**
 * As a key file has it: 32 bytes, or 64 hex digits and perhaps a line's end. @throws ThinError
 * invalid-argument
 */
export function parseKey(file: Uint8Array, path: string): Uint8Array {
  if (file.length === KEY_BYTES) return file;
  const text = Buffer.from(file).toString('latin1').trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  throw new ThinError(
    'invalid-argument',
    `${path} holds no key: it has to be 32 bytes, or 64 hex digits; make one with: head -c 32 /dev/urandom > ${path}`,
    { details: { path } },
  );
}
