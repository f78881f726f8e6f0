import { compress, decompress, init } from '@bokuweb/zstd-wasm';
import { ThinError } from '../errors/thin-error.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import type { BlockSeal } from './block-seal.js';
import type { Digest } from './digest.js';

/** Of a stored block at most: its method, and what a seal adds. */
export const MAX_STORED = IMAGE_BLOCK + 64;

const RAW = 0;
const ZSTD = 1;
/** Level 3 is a third slower and makes a twentieth less (measured on programs; docs/remote.md). */
const LEVEL = 1;
/**
 * The first bytes of a Zstandard frame of 65,536 bytes (RFC 8878, 3.1.1): magic, single segment with a
 * content size of two bytes, that less 256.
 */
const FRAME_HEAD = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0xff);

/**
 * stored := sealed(method:u8 body)      method 0: the block; 1: one Zstandard frame that says its size
 *
 * Blocks as they lie in packs. `ready` comes first.
 */
export class BlockCodec {
  readonly #seal: BlockSeal;

  constructor(seal: BlockSeal) {
    this.#seal = seal;
  }

  static async ready(): Promise<void> {
    await init();
  }

  nameOf(block: Uint8Array): Digest {
    return this.#seal.nameOf(block);
  }

  encode(block: Uint8Array, name: Digest): Uint8Array {
    const packed = compress(block, LEVEL);
    const isWorthIt = packed.length < IMAGE_BLOCK && beginsWith(packed, FRAME_HEAD);
    const body = isWorthIt ? packed : block;
    const bytes = new Uint8Array(1 + body.length);
    bytes[0] = isWorthIt ? ZSTD : RAW;
    bytes.set(body, 1);
    return this.#seal.seal(bytes, `block ${name}`);
  }

  /** The block, and no other. @throws ThinError damaged, naming `path` */
  decode(stored: Uint8Array, name: Digest, path: string): Uint8Array {
    const bytes = this.#seal.open(stored, `block ${name}`, path);
    const block = unpacked(bytes, path);
    if (block.length !== IMAGE_BLOCK || this.#seal.nameOf(block) !== name)
      throw new ThinError('damaged', `${path}: its bytes are not those of the block ${name.slice(0, 12)}`);
    return block;
  }
}

function unpacked(bytes: Uint8Array, path: string): Uint8Array {
  const body = bytes.subarray(1);
  if (bytes[0] === RAW) return body;
  // The size first: the decoder takes as much memory as the frame says.
  if (bytes[0] !== ZSTD || !beginsWith(body, FRAME_HEAD))
    throw new ThinError('damaged', `${path}: the way it is packed is not known`);
  try {
    return decompress(body);
  } catch (error) {
    throw new ThinError('damaged', `${path}: it cannot be unpacked`, { cause: error });
  }
}

function beginsWith(bytes: Uint8Array, head: Uint8Array): boolean {
  return bytes.length >= head.length && Buffer.compare(bytes.subarray(0, head.length), head) === 0;
}
