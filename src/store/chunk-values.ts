import { ThinError } from '../errors/thin-error.js';
import { Pace } from '../async/pace.js';
import { applyChunkPatch, chunkPatchBytes, packChunkPatch, PATCH_HEAD } from '../format/chunk-patch.js';
import { damage } from '../format/damage.js';
import type { ChunkId } from '../format/ids.js';
import { chunkKey, chunkPatchKey, describeKey } from '../format/keys.js';
import {
  PACKED_VERSION,
  seal,
  SEAL_BYTES,
  sealChunk,
  sealInPlace,
  sealVersion,
  unseal,
  unsealChunk,
} from '../format/seal.js';
import type { KvOperation, KvReader } from './key-value.js';
import { pack, unpack, type Codec } from './packed-value.js';

/** How values are to be written. What is there is read whatever it is. */
export type Compression = Codec | 'off';

/** dm-thin's bound (config/defaults.ts). */
const MAX_CHUNK_SIZE = 2 ** 30;

/** What the store has of a chunk, patched, and which pages the patch has. */
interface Patched {
  readonly data: Uint8Array;
  readonly patched: number;
}

/** A chunk's data, patched. Errors: damaged (missing or not as written), wrong-version, io. */
export async function readWhole(
  store: KvReader,
  chunk: ChunkId,
  chunkSize: number,
  pageSize: number,
): Promise<Uint8Array> {
  return (await readWithPatch(store, chunk, chunkSize, pageSize)).data;
}

/** As `readWhole`. */
export async function readWithPatch(
  store: KvReader,
  chunk: ChunkId,
  chunkSize: number,
  pageSize: number,
): Promise<Patched> {
  const [data, patch] = await Promise.all([
    wholeOf(store, chunk, chunkSize),
    patchOf(store, chunk, chunkSize),
  ]);
  return { data, patched: layOver(chunk, patch, data, pageSize) };
}

/** Of a chunk that has a patch alone, of what another one holds. Errors: as `readWhole`. */
export async function readPartial(
  store: KvReader,
  chunk: ChunkId,
  backing: ChunkId,
  chunkSize: number,
  pageSize: number,
): Promise<Patched> {
  const [data, patch] = await Promise.all([
    readWhole(store, backing, chunkSize, pageSize),
    patchOf(store, chunk, chunkSize),
  ]);
  if (patch === undefined) throw damage(describeKey(chunkPatchKey(chunk)), 'it is missing');
  return { data, patched: layOver(chunk, patch, data, pageSize) };
}

async function wholeOf(store: KvReader, chunk: ChunkId, chunkSize: number): Promise<Uint8Array> {
  const value = await store.get(chunkKey(chunk));
  if (value === undefined) throw new ThinError('damaged', `${describeKey(chunkKey(chunk))}: missing`);
  return dataOf(value, chunk, chunkSize);
}

/**
 * The data in a chunk's whole value: a view where it is not packed. Errors: damaged, wrong-version.
 */
export async function dataOf(value: Uint8Array, chunk: ChunkId, chunkSize: number): Promise<Uint8Array> {
  const path = describeKey(chunkKey(chunk));
  const stored = unsealChunk(value, chunk, path);
  const isPacked = sealVersion(value, stored.length) === PACKED_VERSION;
  const data = isPacked ? await unpack(stored, chunkSize, path) : stored;
  if (data.length !== chunkSize) throw damage(path, `it holds ${data.length} bytes, not ${chunkSize}`);
  return data;
}

/** Undefined: it is damaged. Errors: wrong-version. */
export async function chunkSizeOf(value: Uint8Array, chunk: ChunkId): Promise<number | undefined> {
  const path = describeKey(chunkKey(chunk));
  try {
    const stored = unsealChunk(value, chunk, path);
    const isPacked = sealVersion(value, stored.length) === PACKED_VERSION;
    return isPacked ? (await unpack(stored, MAX_CHUNK_SIZE, path)).length : stored.length;
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged') return undefined;
    throw error;
  }
}

/**
 * Lays the stored patch of the chunk over `data`. @returns its pages, 0 where it has none. Errors: damaged,
 * wrong-version, io.
 */
export async function applyPatchOf(
  store: KvReader,
  chunk: ChunkId,
  data: Uint8Array,
  pageSize: number,
): Promise<number> {
  return layOver(chunk, await patchOf(store, chunk, data.length), data, pageSize);
}

async function patchOf(store: KvReader, chunk: ChunkId, chunkSize: number): Promise<Uint8Array | undefined> {
  const key = chunkPatchKey(chunk);
  const value = await store.get(key);
  if (value === undefined) return undefined;
  const path = describeKey(key);
  const stored = unseal('chunk-patch', chunk, value, path);
  const isPacked = sealVersion(value, 0) === PACKED_VERSION;
  return isPacked ? unpack(stored, PATCH_HEAD + chunkSize, path) : stored;
}

function layOver(chunk: ChunkId, patch: Uint8Array | undefined, data: Uint8Array, pageSize: number): number {
  return patch === undefined ? 0 : applyChunkPatch(patch, data, pageSize, describeKey(chunkPatchKey(chunk)));
}

/** A copy of what is to be written of a chunk. */
export interface ChunkChange {
  readonly kind: 'whole' | 'patch';
  readonly chunk: ChunkId;
  /** Whole: the data, and room for the seal. Patch: room for the seal, and its body. */
  readonly bytes: Uint8Array;
}

/** Memory of so many bytes, whatever they are. */
export type Take = (bytes: number) => Uint8Array<ArrayBuffer>;
const takeNew: Take = (bytes) => new Uint8Array(bytes);

export function copyWhole(chunk: ChunkId, data: Uint8Array, take = takeNew): ChunkChange {
  const bytes = take(data.length + SEAL_BYTES);
  bytes.set(data);
  return { kind: 'whole', chunk, bytes };
}

export function copyPatch(
  chunk: ChunkId,
  pages: number,
  data: Uint8Array,
  pageSize: number,
  take = takeNew,
): ChunkChange {
  const bytes = take(SEAL_BYTES + chunkPatchBytes(pages, pageSize));
  packChunkPatch(pages, data, pageSize, bytes.subarray(SEAL_BYTES));
  return { kind: 'patch', chunk, bytes };
}

/** Places of a value that are looked at, and bytes of each. */
const SAMPLES = 16;
const SAMPLE_BYTES = 64;
/**
 * Of the sum of the squares of how often each byte comes in a sample: random bytes come to n + n² / 256, give
 * or take a fiftieth. An eighth of the bytes alike makes it four times as much.
 */
const EVEN = 1.15;

/**
 * Whether the bytes look like ones that no codec packs: random, encrypted, or packed already. What repeats
 * over long distances, and is even within itself, passes for such.
 */
export function looksRandom(bytes: Uint8Array): boolean {
  const step = Math.floor((bytes.length - SAMPLE_BYTES) / (SAMPLES - 1));
  if (step < SAMPLE_BYTES) return false;
  const counts = new Uint16Array(256);
  for (let sample = 0; sample < SAMPLES; sample++) {
    const from = sample * step;
    for (let at = from; at < from + SAMPLE_BYTES; at++) counts[bytes[at]!]!++;
  }
  const n = SAMPLES * SAMPLE_BYTES;
  let squares = 0;
  for (const count of counts) squares += count * count;
  return squares < EVEN * (n + (n * n) / 256);
}

/** Values in a row that were not worth it, before the next are not tried. */
const MISSES = 8;
/** Then one of so many is. */
const TRY_ONE_OF = 16;

/**
 * Whether a value is to be tried: data that cannot be packed comes in long runs, and costs the most to find
 * out.
 */
export class PackingTrend {
  #missed = 0;

  get isDue(): boolean {
    return this.#missed < MISSES || this.#missed % TRY_ONE_OF === 0;
  }

  note(isPacked: boolean): void {
    this.#missed = isPacked ? 0 : this.#missed + 1;
  }
}

/** Chunks packed at once. Most of libuv's threads stay free for work that waits for a disk. */
const AT_ONCE = 3;

/** The operations of each, in their order. */
export async function putChanges(
  changes: readonly ChunkChange[],
  compression: Compression,
  trend = new PackingTrend(),
): Promise<readonly KvOperation[]> {
  if (compression === 'off') return changes.flatMap((change) => put(change, undefined));
  const operations: (readonly KvOperation[])[] = [];
  let next = 0;
  const pace = new Pace();
  const packInTurn = async (): Promise<void> => {
    while (next < changes.length) {
      const at = next++;
      const change = changes[at]!;
      const content = contentOf(change);
      const isTried = !looksRandom(content) && trend.isDue;
      const packed = isTried ? await pack(content, compression) : undefined;
      if (isTried) trend.note(packed !== undefined);
      operations[at] = put(change, packed);
      // What is not packed gives nobody a turn.
      const pause = pace.pause();
      if (pause !== undefined) await pause;
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, changes.length) }, packInTurn));
  return operations.flat();
}

function contentOf({ kind, bytes }: ChunkChange): Uint8Array {
  return kind === 'whole' ? bytes.subarray(0, -SEAL_BYTES) : bytes.subarray(SEAL_BYTES);
}

/** A whole value takes the place of whatever is stored of the chunk. */
function put({ kind, chunk, bytes }: ChunkChange, packed: Uint8Array | undefined): readonly KvOperation[] {
  const version = packed === undefined ? undefined : PACKED_VERSION;
  if (kind === 'patch') {
    if (packed === undefined) sealInPlace('chunk-patch', chunk, bytes);
    const value = packed === undefined ? bytes : seal('chunk-patch', chunk, packed, version);
    return [{ type: 'put', key: chunkPatchKey(chunk), value }];
  }
  const value = packed === undefined ? bytes : copyWhole(chunk, packed).bytes;
  sealChunk(value, chunk, version);
  return [
    { type: 'put', key: chunkKey(chunk), value },
    { type: 'del', key: chunkPatchKey(chunk) },
  ];
}

export function deleteChunk(chunk: ChunkId): readonly KvOperation[] {
  return [
    { type: 'del', key: chunkKey(chunk) },
    { type: 'del', key: chunkPatchKey(chunk) },
  ];
}
