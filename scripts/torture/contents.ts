import { PAGE, sequenceOf, sequencesOf } from '../../test/support/stamped-pages.js';
import { PAGES } from './places.js';

/** What each page may hold, as sequence numbers: from `least` to `most`. */
export interface Allowed {
  readonly least: Uint32Array;
  readonly most: Uint32Array;
}

export interface Verified {
  readonly sequences: Uint32Array;
  /** As `sequences`, of the newest sector of each page. */
  readonly newest: Uint32Array;
  /** Bytes that had to be there. */
  readonly bytes: number;
}

/**
 * @throws Error that names the first page which is lost, torn, foreign or not from the time that it should be
 * from
 * @param unit what a disk that lost its power keeps whole
 */
export function verifyPages(
  bytes: Uint8Array,
  writer: number,
  { least, most }: Allowed,
  unit: 'page' | 'sector' = 'page',
): Verified {
  const sequences = new Uint32Array(PAGES);
  const newest = new Uint32Array(PAGES);
  let promised = 0;
  for (let page = 0; page < PAGES; page++) {
    const part = bytes.subarray(page * PAGE, (page + 1) * PAGE);
    const found = unit === 'page' ? [sequenceOf(part, page, writer)] : sequencesOf(part, page, writer);
    for (const each of found)
      if (each < least[page]! || each > most[page]!)
        throw new Error(`page ${page} holds write ${each}, and not one from ${least[page]} to ${most[page]}`);
    sequences[page] = Math.min(...found);
    newest[page] = Math.max(...found);
    if (least[page]! > 0) promised += PAGE;
  }
  return { sequences, newest, bytes: promised };
}
