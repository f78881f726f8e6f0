import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { compress, uncompress } from 'lz4-napi';
import { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';

const NUMBERS = { lz4: 1, zstd: 2 } as const;
export type Codec = keyof typeof NUMBERS;

/**
 * Level 3 saves a twentieth more on a Debian root, and takes a fifth longer where less is to be saved
 * (docs/benchmarks.md).
 */
const ZSTD_LEVEL = 1;
/** A value that packing would shrink by less than this is stored unpacked. */
const WORTH = 1 / 8;
/** An LZ4 block behind the size of what it holds. */
const SIZE_BYTES = 4;

const encoder = new Encoder(ZSTD_LEVEL);
const decoder = new Decoder();

/**
 * packed := content codec:u8
 * codec  := 1 lz4: content := size:u32 block      | 2 zstd: content := a Zstandard frame (RFC 8878)
 *
 * Works on the packages' own threads. `bytes` must not change meanwhile.
 * @returns undefined where it is not worth it
 */
export async function pack(bytes: Uint8Array, codec: Codec): Promise<Uint8Array | undefined> {
  const content = codec === 'lz4' ? await compress(bytes) : await encoder.encode(asBuffer(bytes));
  if (content.length + 1 > bytes.length * (1 - WORTH)) return undefined;
  const packed = new Uint8Array(content.length + 1);
  packed.set(content);
  packed[content.length] = NUMBERS[codec];
  return packed;
}

/**
 * Works on the packages' own threads. `packed` must not change meanwhile.
 * @param most bytes that it can have
 * Errors: damaged, wrong-version (a codec of a newer thinfuse); both name `path`.
 */
export async function unpack(packed: Uint8Array, most: number, path: string): Promise<Uint8Array> {
  if (packed.length === 0) throw damage(path, 'it is cut off');
  const content = asBuffer(packed.subarray(0, -1));
  const number = packed.at(-1)!;
  const bytes = await decoded(content, number, most, path);
  if (bytes.length > most) throw damage(path, `it unpacks to ${bytes.length} bytes, and ${most} is the most`);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function decoded(content: Buffer, number: number, most: number, path: string): Promise<Buffer> {
  try {
    if (number === NUMBERS.zstd) return await decoder.decode(content);
    // The package takes as much memory as the size says.
    if (number === NUMBERS.lz4 && content.length > SIZE_BYTES && content.readUInt32LE(0) <= most)
      return await uncompress(content);
  } catch (error) {
    throw damage(path, `it cannot be unpacked (${error instanceof Error ? error.message : String(error)})`);
  }
  if (number === NUMBERS.lz4) throw damage(path, 'it cannot be unpacked (its size is not possible)');
  throw new ThinError(
    'wrong-version',
    `${path} is packed with codec ${number}, which this thinfuse does not know; use a newer thinfuse`,
    { details: { path, codec: number } },
  );
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
