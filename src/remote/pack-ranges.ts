import { MAX_STORED } from './block-codec.js';
import type { BlockPlace } from './index-segment.js';

/**
 * Bytes of one request at most, as measured: more brings little, and each is in memory until it is written.
 */
const MOST_REQUEST = 2 * 2 ** 20;
/** Bytes between two blocks that are fetched with them in place of one more request. */
const MOST_GAP = 128 * 1024;
export interface PlacedBlock {
  /** Of the device. */
  readonly block: number;
  readonly place: BlockPlace;
}

/** Blocks that lie near each other in a pack, ascending by their place there. In bytes. */
export interface PackRange {
  readonly blocks: readonly PlacedBlock[];
  readonly offset: number;
  readonly end: number;
}

/** Neighbours together, whatever the order of their blocks; small enough for one request. */
export function* rangesOf(blocks: readonly PlacedBlock[]): Generator<PackRange> {
  const ordered = [...blocks].sort((x, y) =>
    x.place.pack < y.place.pack ? -1 : x.place.pack > y.place.pack ? 1 : x.place.offset - y.place.offset,
  );
  let open: { pack: string; offset: number; end: number; blocks: PlacedBlock[] } | undefined;
  for (const entry of ordered) {
    const { pack, offset, length } = entry.place;
    if (
      open?.pack === pack &&
      offset - open.end <= MOST_GAP &&
      Math.max(open.end, offset + length) - open.offset <= MOST_REQUEST &&
      open.blocks.length < MOST_REQUEST / MAX_STORED
    ) {
      open.blocks.push(entry);
      open.end = Math.max(open.end, offset + length);
      continue;
    }
    if (open !== undefined) yield open;
    open = { pack, offset, end: offset + length, blocks: [entry] };
  }
  if (open !== undefined) yield open;
}
