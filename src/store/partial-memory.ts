import { DirtyMap, threadInts, type DirtyMapMemory } from '../threads/dirty-map.js';

/**
 * Which chunks of a `direct` pool are partial, for all threads. A chunk becomes partial before any thread can
 * look it up, and then gets pages. It is whole again when it has all pages, or when no thread can look it up
 * any more.
 */
export interface PartialMemory {
  /**
   * One word a chunk: its backing + 1; 0 for a whole one; DAMAGED where the backing cannot be told; REMOTE
   * where its bytes are not here. No mapped chunk becomes remote.
   */
  readonly backings: Int32Array;
  /**
   * The pages that a partial chunk has. Those of one that has just become whole stay set, for readers that
   * have seen the backing.
   */
  readonly pages: Int32Array;
  /** Of some chunks each: for writers that bring pages. */
  readonly locks: Int32Array;
  /** Chunks whose pages changed since the last commit. */
  readonly dirty: DirtyMapMemory;
  /** One word: whether some chunk may be in `dirty`. */
  readonly changed: Int32Array;
}

export const WHOLE = 0;
export const DAMAGED = -1;
export const REMOTE = -2;
/** A power of two. */
const LOCKS = 1024;

/** @param chunks that the pool can have; what is not touched costs no memory */
export function partialMemory(chunks: number): PartialMemory {
  return {
    backings: threadInts(chunks),
    pages: threadInts(chunks),
    locks: threadInts(LOCKS),
    dirty: DirtyMap.create(chunks).memory,
    changed: threadInts(1),
  };
}

export function lockOf(chunk: number): number {
  return chunk & (LOCKS - 1);
}
