import assert from 'node:assert/strict';
import { ThinError } from '../errors/thin-error.js';
import { packChunkBacking, unpackChunkBacking } from '../format/chunk-backing.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { chunkBackingKey, describeKey } from '../format/keys.js';
import { seal, unseal } from '../format/seal.js';
import { ChangedRecords, putOrDelete, type CollectedChanges } from './changed-records.js';

/** Chunks of which one sheet of the table knows. */
const SHEET = 4096;
const WHOLE = 0;
const DAMAGED = -1;

/**
 * Which chunks are partial, and the chunk that has the rest of each: eight bytes a chunk where there are any.
 */
export class BackingTable {
  /** Of each chunk its backing + 1, and its pages. */
  readonly #sheets = new Map<number, Int32Array>();
  readonly #changed = new ChangedRecords<ChunkId>();

  get isDirty(): boolean {
    return !this.#changed.isEmpty;
  }

  /** Takes in a stored record, at open. One that is damaged shows when its chunk is needed. */
  load(chunk: ChunkId, value: Uint8Array): void {
    const path = describeKey(chunkBackingKey(chunk));
    try {
      const { backing, pages } = unpackChunkBacking(unseal('chunk-backing', chunk, value, path), path);
      this.#set(chunk, backing + 1, pages);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
      this.#set(chunk, DAMAGED);
    }
  }

  /** @throws ThinError damaged */
  backingOf(chunk: ChunkId): ChunkId | undefined {
    const entry = this.#get(chunk);
    if (entry === WHOLE) return undefined;
    if (entry !== DAMAGED) return chunkId(entry - 1);
    const path = describeKey(chunkBackingKey(chunk));
    throw new ThinError('damaged', `${path}: it cannot be read; see thinfuse check`, { details: { path } });
  }

  add(chunk: ChunkId, backing: ChunkId): void {
    assert(
      this.#get(chunk) === WHOLE && this.#get(backing) === WHOLE,
      'a chunk has one backing, and that is whole',
    );
    this.#set(chunk, backing + 1);
    this.#changed.note(chunk);
  }

  /** Of a partial chunk. */
  setPages(chunk: ChunkId, pages: number): void {
    this.#set(chunk, this.#get(chunk), pages);
    this.#changed.note(chunk);
  }

  /** Removes the chunk's record, if it has one. @returns the backing, if that can be told */
  take(chunk: ChunkId): ChunkId | undefined {
    const entry = this.#get(chunk);
    if (entry === WHOLE) return undefined;
    this.#set(chunk, WHOLE);
    this.#changed.note(chunk);
    return entry === DAMAGED ? undefined : chunkId(entry - 1);
  }

  /** Partial chunks; backing undefined: it cannot be told. The table may change meanwhile. */
  *all(): Generator<{ chunk: ChunkId; backing: ChunkId | undefined; pages: number }> {
    for (const [sheet, entries] of this.#sheets)
      for (let i = 0; i < SHEET; i++) {
        const entry = entries[2 * i]!;
        const backing = entry === DAMAGED ? undefined : chunkId(entry - 1);
        if (entry !== WHOLE) yield { chunk: chunkId(sheet * SHEET + i), backing, pages: entries[2 * i + 1]! };
      }
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): CollectedChanges {
    return this.#changed.collect((chunk) => {
      const entry = this.#get(chunk);
      const value = entry === WHOLE ? undefined : seal('chunk-backing', chunk, this.#pack(chunk, entry));
      return putOrDelete(chunkBackingKey(chunk), value);
    });
  }

  #pack(chunk: ChunkId, entry: number): Uint8Array {
    const pages = this.#sheets.get(Math.floor(chunk / SHEET))?.[2 * (chunk % SHEET) + 1] ?? 0;
    return packChunkBacking({ backing: chunkId(entry - 1), pages });
  }

  #get(chunk: ChunkId): number {
    return this.#sheets.get(Math.floor(chunk / SHEET))?.[2 * (chunk % SHEET)] ?? WHOLE;
  }

  #set(chunk: ChunkId, entry: number, own = 0): void {
    const sheet = Math.floor(chunk / SHEET);
    let entries = this.#sheets.get(sheet);
    if (entries === undefined) this.#sheets.set(sheet, (entries = new Int32Array(2 * SHEET)));
    entries[2 * (chunk % SHEET)] = entry;
    entries[2 * (chunk % SHEET) + 1] = own;
  }
}
