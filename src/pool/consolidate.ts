import { ThinError } from '../errors/thin-error.js';
import type { ChunkId } from '../format/ids.js';
import { linesFor } from '../store/log-writer.js';
import type { PoolState } from './pool-state.js';
import { nextTurn } from './usage-counter.js';

/** Chunks made whole in one commit: 4 MiB of 64 KiB chunks. */
const CHUNKS_PER_STEP = 64;

/**
 * Completes partial chunks that are the last user of their backing, in bounded steps. Such a backing takes
 * space that no device maps. (Discards and removals of devices leave such chunks behind.)
 */
export async function consolidate(state: PoolState, isStopped: () => boolean): Promise<void> {
  const { metadata } = state;
  let changed = 0;
  for (const { chunk, backing } of metadata.backings.all()) {
    if (isStopped()) return;
    if (backing === undefined || metadata.chunks.count(backing) !== 1 || !(await makeWhole(state, chunk)))
      continue;
    if (++changed % CHUNKS_PER_STEP !== 0) continue;
    await state.commit();
    await nextTurn();
  }
  if (changed % CHUNKS_PER_STEP !== 0) await state.commit();
}

async function makeWhole(state: PoolState, chunk: ChunkId): Promise<boolean> {
  const { chunks, log } = state.plane;
  const lines = linesFor(0, 1);
  while (log?.writer.reserve(lines) === false) await state.commit();
  try {
    await chunks.consolidate(chunk);
    return true;
  } catch (error) {
    // A reader of the chunk gets the error.
    if (error instanceof ThinError && error.code === 'damaged') return false;
    throw error;
  } finally {
    log?.writer.release(lines);
  }
}
