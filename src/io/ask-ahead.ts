import type { ChunkStore } from '../store/chunk-store.js';
import { chunkOf, HOLE, UNKNOWN, type MappingTable } from './mapping-table.js';

/**
 * Has what blocks map that lies in a store elsewhere asked for at once, not one chunk after the other. A
 * failure shows where a request comes to it.
 */
export function askAhead(table: MappingTable, chunks: ChunkStore, first: number, last: number): void {
  for (let block = first; block <= last; block++) {
    const word = table.load(block);
    if (word === UNKNOWN || word === HOLE || !chunks.isAway(chunkOf(word))) continue;
    chunks.bring(chunkOf(word))?.catch(() => undefined);
  }
}
