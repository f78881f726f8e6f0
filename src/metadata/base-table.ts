import assert from 'node:assert/strict';
import { ThinError } from '../errors/thin-error.js';
import { packChunkBase, unpackChunkBase } from '../format/chunk-base.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { chunkBaseKey, describeKey } from '../format/keys.js';
import { seal, unseal } from '../format/seal.js';
import type { KvOperation } from '../store/key-value.js';

/** Chunks of which one sheet of the table knows. */
const SHEET = 4096;
const WHOLE = 0;
const DAMAGED = -1;

/**
 * Which chunks are partial, and the chunk that has the rest of each: eight bytes a chunk where there are any.
 */
export class BaseTable {
  /** Of each chunk its base + 1, and its pages. */
  readonly #sheets = new Map<number, Int32Array>();
  #dirty = new Set<ChunkId>();

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Takes in a stored record, at open. One that is damaged shows when its chunk is needed. */
  load(chunk: ChunkId, value: Uint8Array): void {
    const path = describeKey(chunkBaseKey(chunk));
    try {
      const { base, pages } = unpackChunkBase(unseal('chunk-base', chunk, value, path), path);
      this.#set(chunk, base + 1, pages);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
      this.#set(chunk, DAMAGED);
    }
  }

  /** @throws ThinError damaged */
  baseOf(chunk: ChunkId): ChunkId | undefined {
    const entry = this.#get(chunk);
    if (entry === WHOLE) return undefined;
    if (entry !== DAMAGED) return chunkId(entry - 1);
    const path = describeKey(chunkBaseKey(chunk));
    throw new ThinError('damaged', `${path}: it cannot be read; see thinfuse check`, { details: { path } });
  }

  add(chunk: ChunkId, base: ChunkId): void {
    assert(
      this.#get(chunk) === WHOLE && this.#get(base) === WHOLE,
      'a chunk has one base, and that is whole',
    );
    this.#set(chunk, base + 1);
    this.#dirty.add(chunk);
  }

  /** Of a partial chunk. */
  setPages(chunk: ChunkId, pages: number): void {
    this.#set(chunk, this.#get(chunk), pages);
    this.#dirty.add(chunk);
  }

  /** Removes the chunk's record, if it has one. @returns the base, if that can be told */
  take(chunk: ChunkId): ChunkId | undefined {
    const entry = this.#get(chunk);
    if (entry === WHOLE) return undefined;
    this.#set(chunk, WHOLE);
    this.#dirty.add(chunk);
    return entry === DAMAGED ? undefined : chunkId(entry - 1);
  }

  /** Partial chunks; base undefined: it cannot be told. The table may change meanwhile. */
  *all(): Generator<{ chunk: ChunkId; base: ChunkId | undefined; pages: number }> {
    for (const [sheet, entries] of this.#sheets)
      for (let i = 0; i < SHEET; i++) {
        const entry = entries[2 * i]!;
        const base = entry === DAMAGED ? undefined : chunkId(entry - 1);
        if (entry !== WHOLE) yield { chunk: chunkId(sheet * SHEET + i), base, pages: entries[2 * i + 1]! };
      }
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): { operations: readonly KvOperation[]; undo: () => void } {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const operations = [...dirty].map((chunk): KvOperation => {
      const key = chunkBaseKey(chunk);
      const entry = this.#get(chunk);
      return entry === WHOLE
        ? { type: 'del', key }
        : { type: 'put', key, value: seal('chunk-base', chunk, this.#pack(chunk, entry)) };
    });
    return {
      operations,
      undo: () => {
        for (const chunk of dirty) this.#dirty.add(chunk);
      },
    };
  }

  #pack(chunk: ChunkId, entry: number): Uint8Array {
    const pages = this.#sheets.get(Math.floor(chunk / SHEET))?.[2 * (chunk % SHEET) + 1] ?? 0;
    return packChunkBase({ base: chunkId(entry - 1), pages });
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
