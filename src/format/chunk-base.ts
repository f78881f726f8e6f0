import { damage } from './damage.js';
import { chunkId, MAX_CHUNKS, type ChunkId } from './ids.js';

/**
 * chunk-base := base:u32
 *
 * The chunk under this key is partial: it has only the pages in its patch, and the rest is the base's. The base counts it as a reference,
 * and is never partial itself.
 */
export function packChunkBase(base: ChunkId): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, base, true);
  return body;
}

/** @throws ThinError damaged, naming `path` */
export function unpackChunkBase(body: Uint8Array, path: string): ChunkId {
  if (body.length !== 4) throw damage(path, `it has ${String(body.length)} bytes, not 4`);
  const base = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
  if (base >= MAX_CHUNKS) throw damage(path, `its base ${String(base)} is no chunk`);
  return chunkId(base);
}
