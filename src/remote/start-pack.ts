import { randomBytes } from 'node:crypto';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import type { BlockSeal } from './block-seal.js';
import type { CodecPool } from './codec-pool.js';
import type { Digest } from './digest.js';
import type { StoredImage } from './manifest.js';
import { PACK_FOOT, PackWriter, SALT_BYTES, unpackFoot, unpackTable } from './pack.js';
import type { RemoteStore } from './remote-store.js';

/** Blocks that are read and compressed at once. */
const TOGETHER = 16;

export interface StartParts {
  /** Numbers of blocks of 65,536 bytes, in the order in which a start reads them. */
  readonly blocks: readonly number[];
  /** Of the device, in bytes. */
  readonly size: number;
  readonly read: (offset: number, into: Uint8Array) => Promise<void>;
  readonly codecs: CodecPool;
  readonly seal: BlockSeal;
}

/** A pack with copies of them, each once, as many as fit; undefined: none of them has anything. */
export async function startPack({
  blocks,
  size,
  read,
  codecs,
  seal,
}: StartParts): Promise<PackWriter | undefined> {
  const writer = new PackWriter(randomBytes(SALT_BYTES), seal);
  const seen = new Set<Digest>();
  const inside = blocks.filter((block) => block * IMAGE_BLOCK < size);
  for (let at = 0; at < inside.length; at += TOGETHER) {
    const some = inside.slice(at, at + TOGETHER);
    const buffer = new Uint8Array(some.length * IMAGE_BLOCK);
    for (const [index, block] of some.entries()) {
      const begin = index * IMAGE_BLOCK;
      const length = Math.min(IMAGE_BLOCK, size - block * IMAGE_BLOCK);
      await read(block * IMAGE_BLOCK, buffer.subarray(begin, begin + length));
    }
    const { names, bytes } = await codecs.name(buffer);
    const fresh: { at: number; name: Digest }[] = [];
    for (const [index, name] of names.entries()) {
      if (name === undefined || seen.has(name)) continue;
      seen.add(name);
      fresh.push({ at: index, name });
    }
    const stored = await codecs.encode(bytes, fresh);
    for (const [index, { name }] of fresh.entries()) {
      if (!writer.hasRoomFor(stored[index]!.length)) return writer;
      writer.add(name, stored[index]!);
    }
  }
  return writer.blocks.length === 0 ? undefined : writer;
}

/** Names of the blocks of an image's start. Errors: damaged; as those of the store. */
export async function namesOfStart(
  store: RemoteStore,
  seal: BlockSeal,
  { manifest: { start, packs } }: StoredImage,
): Promise<ReadonlySet<Digest>> {
  const pack = packs.find(({ digest }) => digest === start);
  if (pack === undefined) return new Set();
  const path = `${store.url}: pack ${pack.digest}`;
  const read = (offset: number, length: number): Promise<Uint8Array> =>
    store.read('pack', pack.digest, { offset, length });
  const foot = unpackFoot(await read(pack.size - PACK_FOOT, PACK_FOOT), pack.size, path);
  const table = unpackTable(await read(foot.offset, foot.length), foot, seal, path);
  return new Set(table.map(({ name }) => name));
}
