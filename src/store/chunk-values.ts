import { ThinError } from '../errors/thin-error.js';
import { applyChunkPatch, packChunkPatch } from '../format/chunk-patch.js';
import type { ChunkId } from '../format/ids.js';
import { chunkKey, chunkPatchKey, describeKey } from '../format/keys.js';
import { checkChunk, seal, SEAL_BYTES, sealChunk, unseal } from '../format/seal.js';
import type { KvOperation, KvReader } from './key-value.js';

/** A chunk's data, patched. @throws ThinError damaged (missing or not as written), io */
export function readWhole(store: KvReader, chunk: ChunkId, chunkSize: number, pageSize: number): Uint8Array {
  return readWithPatch(store, chunk, chunkSize, pageSize).data;
}

/** As `readWhole`, and which pages the patch has. */
export function readWithPatch(
  store: KvReader,
  chunk: ChunkId,
  chunkSize: number,
  pageSize: number,
): { data: Uint8Array; patched: number } {
  const key = chunkKey(chunk);
  const value = store.getSync(key);
  if (value === undefined) throw new ThinError('damaged', `${describeKey(key)}: missing`);
  checkChunk(value, chunk, chunkSize, describeKey(key));
  const data = value.subarray(0, chunkSize);
  return { data, patched: applyPatchOf(store, chunk, data, pageSize) };
}

/** Lays the stored patch of the chunk over `data`. @returns its pages, 0 where it has none. @throws ThinError damaged, io */
export function applyPatchOf(store: KvReader, chunk: ChunkId, data: Uint8Array, pageSize: number): number {
  const key = chunkPatchKey(chunk);
  const value = store.getSync(key);
  if (value === undefined) return 0;
  const path = describeKey(key);
  return applyChunkPatch(unseal('chunk-patch', chunk, value, path), data, pageSize, path);
}

/** The whole chunk takes the place of whatever is stored of it. */
export function putWhole(chunk: ChunkId, data: Uint8Array): readonly KvOperation[] {
  const value = new Uint8Array(data.length + SEAL_BYTES);
  value.set(data);
  sealChunk(value, chunk);
  return [
    { type: 'put', key: chunkKey(chunk), value },
    { type: 'del', key: chunkPatchKey(chunk) },
  ];
}

export function putPatch(chunk: ChunkId, pages: number, data: Uint8Array, pageSize: number): KvOperation {
  const body = packChunkPatch(pages, data, pageSize);
  return { type: 'put', key: chunkPatchKey(chunk), value: seal('chunk-patch', chunk, body) };
}

export function deleteChunk(chunk: ChunkId): readonly KvOperation[] {
  return [
    { type: 'del', key: chunkKey(chunk) },
    { type: 'del', key: chunkPatchKey(chunk) },
  ];
}
