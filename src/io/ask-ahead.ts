import type { ChunkStore } from '../store/chunk-store.js';
import { chunkOf, HOLE, UNKNOWN, type MappingTable } from './mapping-table.js';

/** A request of the kernel has at most 1 MiB, sixteen chunks of the default size. */
const MOST_AHEAD = 64;

/**
 * Has what blocks map that is not in memory asked for at once, not one chunk after the other. A failure shows
 * where a request comes to it.
 */
export function askAhead(table: MappingTable, chunks: ChunkStore, first: number, last: number): void {
  const end = Math.min(last, first + MOST_AHEAD - 1);
  for (let block = first; block <= end; block++) {
    const word = table.load(block);
    if (word === UNKNOWN || word === HOLE || !chunks.isMissing(chunkOf(word))) continue;
    chunks.bring(chunkOf(word))?.catch(() => undefined);
  }
}
