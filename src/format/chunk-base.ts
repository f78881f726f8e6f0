import { damage } from './damage.js';
import { chunkId, MAX_CHUNKS, type ChunkId } from './ids.js';

/**
 * chunk-base := base:u32 pages:u32
 *
 * The chunk under this key is partial: it has some of its pages, and the rest is the base's. The base counts
 * it as a reference, and is never partial itself.
 */
export interface ChunkBase {
  readonly base: ChunkId;
  /**
   * `direct` pools: bit i, least significant first: the chunk has page i itself. 0 in `leveldb` pools, where
   * its patch tells. A 32-bit integer.
   */
  readonly pages: number;
}

export function packChunkBase({ base, pages }: ChunkBase): Uint8Array {
  const body = new Uint8Array(8);
  const view = new DataView(body.buffer);
  view.setUint32(0, base, true);
  view.setInt32(4, pages, true);
  return body;
}

/** @throws ThinError damaged, naming `path` */
export function unpackChunkBase(body: Uint8Array, path: string): ChunkBase {
  if (body.length !== 8) throw damage(path, `it has ${body.length} bytes, not 8`);
  const view = new DataView(body.buffer, body.byteOffset);
  const base = view.getUint32(0, true);
  if (base >= MAX_CHUNKS) throw damage(path, `its base ${base} is no chunk`);
  return { base: chunkId(base), pages: view.getInt32(4, true) };
}
