import { chunkMapKey, nodeMapKey } from '../format/keys.js';
import { seal } from '../format/seal.js';
import { ENTRIES_PER_PAGE, packSpaceMapPage } from '../format/space-map-page.js';
import type { KvOperation } from '../store/key-value.js';

/** Writes all pages that these counts fill; what else is stored of the map is the caller's to delete. */
export function spaceMapPages(
  kind: 'chunk-map-page' | 'node-map-page',
  counts: ReadonlyMap<number, number>,
): KvOperation[] {
  const pages = new Set<number>();
  for (const entry of counts.keys()) pages.add(Math.floor(entry / ENTRIES_PER_PAGE));
  return [...pages].map((page) => {
    const first = page * ENTRIES_PER_PAGE;
    const body = packSpaceMapPage((index) => counts.get(first + index) ?? 0);
    const key = kind === 'chunk-map-page' ? chunkMapKey(page) : nodeMapKey(page);
    return { type: 'put', key, value: seal(kind, page, body) };
  });
}
