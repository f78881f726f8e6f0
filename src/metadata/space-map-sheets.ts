import { chunkMapKey, nodeMapKey } from '../format/keys.js';
import { seal } from '../format/seal.js';
import { ENTRIES_PER_SHEET, packSpaceMapSheet } from '../format/space-map-sheet.js';
import type { KvOperation } from '../store/key-value.js';

/** Writes all sheets that these counts fill; what else is stored of the map is the caller's to delete. */
export function spaceMapSheets(
  kind: 'chunk-map-sheet' | 'node-map-sheet',
  counts: { keys(): Iterable<number>; get(entry: number): number | undefined },
): KvOperation[] {
  const sheets = new Set<number>();
  for (const entry of counts.keys()) sheets.add(Math.floor(entry / ENTRIES_PER_SHEET));
  return [...sheets].map((sheet) => {
    const first = sheet * ENTRIES_PER_SHEET;
    const body = packSpaceMapSheet((index) => counts.get(first + index) ?? 0);
    const key = kind === 'chunk-map-sheet' ? chunkMapKey(sheet) : nodeMapKey(sheet);
    return { type: 'put', key, value: seal(kind, sheet, body) };
  });
}
