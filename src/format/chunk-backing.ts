import { damage } from './damage.js';
import { chunkId, MAX_CHUNKS, type ChunkId } from './ids.js';

/**
 * chunk-backing := backing:u32 pages:u32
 *
 * The chunk under this key is partial: it has some of its pages, and the rest is the backing's. The backing
 * counts it as a reference, and is never partial itself.
 */
export interface ChunkBacking {
  readonly backing: ChunkId;
  /**
   * `direct` pools: bit i, least significant first: the chunk has page i itself. 0 in `leveldb` pools, where
   * its patch tells. A 32-bit integer.
   */
  readonly pages: number;
}

export function packChunkBacking({ backing, pages }: ChunkBacking): Uint8Array {
  const body = new Uint8Array(8);
  const view = new DataView(body.buffer);
  view.setUint32(0, backing, true);
  view.setInt32(4, pages, true);
  return body;
}

/** @throws ThinError damaged, naming `path` */
export function unpackChunkBacking(body: Uint8Array, path: string): ChunkBacking {
  if (body.length !== 8) throw damage(path, `it has ${body.length} bytes, not 8`);
  const view = new DataView(body.buffer, body.byteOffset);
  const backing = view.getUint32(0, true);
  if (backing >= MAX_CHUNKS) throw damage(path, `its backing ${backing} is not a chunk`);
  return { backing: chunkId(backing), pages: view.getInt32(4, true) };
}
