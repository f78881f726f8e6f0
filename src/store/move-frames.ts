import assert from 'node:assert/strict';
import { DirtyMap } from '../threads/dirty-map.js';
import { DIRTY_COST, ownerOf, type CacheMemory } from './cache-access.js';

/**
 * Moves chunks from the frames of one cache to those of another, which is empty: all that a commit has to
 * write, and of the rest as much as leaves `spare` frames, what was touched last before others. No request is
 * under way in either.
 * @param isHeld a commit has the frame on its way
 * @returns the frame of before → its frame now
 */
export function moveFrames(
  from: CacheMemory,
  to: CacheMemory,
  { spare, isHeld }: { readonly spare: number; readonly isHeld: (frame: number) => boolean },
): ReadonlyMap<number, number> {
  const moved = new Map<number, number>();
  const room = to.locks.length - spare;
  const { held, touched, others } = sorted(from, isHeld);
  assert(held.length <= to.locks.length, 'a cache has room for what may be dirty at once');
  for (const frame of [...held, ...touched, ...others]) {
    if (moved.size >= room && moved.size >= held.length) break;
    moved.set(frame, moved.size);
    copy(from, frame, to, moved.get(frame)!);
  }
  const dirty = new DirtyMap(to.dirty);
  for (const frame of new DirtyMap(from.dirty).take()) {
    const now = moved.get(frame);
    if (now !== undefined) dirty.mark(now);
  }
  to.limits[DIRTY_COST] = from.limits[DIRTY_COST]!;
  return moved;
}

/** Frames that a commit has to write, or has on its way. */
export function countHeld(memory: CacheMemory, isHeld: (frame: number) => boolean): number {
  return sorted(memory, isHeld).held.length;
}

function sorted(
  memory: CacheMemory,
  isHeld: (frame: number) => boolean,
): {
  readonly held: readonly number[];
  readonly touched: readonly number[];
  readonly others: readonly number[];
} {
  const held: number[] = [];
  const touched: number[] = [];
  const others: number[] = [];
  for (let frame = 0; frame < memory.locks.length; frame++) {
    if (memory.index[ownerOf(memory, frame)] !== frame + 1) continue;
    const { changed, fetched, origins } = memory;
    if (changed[frame] !== 0 || fetched[frame] !== 0 || origins[frame] !== 0 || isHeld(frame))
      held.push(frame);
    else if (memory.touched[frame] !== 0) touched.push(frame);
    else others.push(frame);
  }
  return { held, touched, others };
}

function copy(from: CacheMemory, frame: number, to: CacheMemory, now: number): void {
  const { chunkSize } = from;
  to.frames.set(from.frames.subarray(frame * chunkSize, (frame + 1) * chunkSize), now * chunkSize);
  for (const words of ['changed', 'owners', 'origins', 'fetched', 'touched'] as const)
    to[words][now] = from[words][frame]!;
  to.index[from.owners[frame]!] = now + 1;
}
