import { createHash } from 'node:crypto';

declare const brand: unique symbol;
/** SHA-256 in 64 small hex digits: what something in a store is called. */
export type Digest = string & { readonly [brand]: 'Digest' };

export const DIGEST_BYTES = 32;
const DIGEST = /^[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

export function digestOf(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex') as Digest;
}

export function packDigest(digest: Digest): Uint8Array {
  return Buffer.from(digest, 'hex');
}

/** Of the first 32 bytes. */
export function unpackDigest(bytes: Uint8Array): Digest {
  return Buffer.from(bytes.buffer, bytes.byteOffset, DIGEST_BYTES).toString('hex') as Digest;
}

/** As messages show it. */
export function shortDigest(digest: Digest): string {
  return digest.slice(0, 12);
}
