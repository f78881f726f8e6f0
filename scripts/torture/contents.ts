import { PAGE, sequenceOf } from '../../test/support/stamped-pages.js';
import { PAGES } from './places.js';

/** What each page may hold, as sequence numbers: from `least` to `most`. */
export interface Allowed {
  readonly least: Uint32Array;
  readonly most: Uint32Array;
}

export interface Verified {
  readonly sequences: Uint32Array;
  /** Bytes that had to be there. */
  readonly bytes: number;
}

/**
 * @throws Error that names the first page which is lost, torn, foreign or not from the time that it should be
 * from
 */
export function verifyPages(bytes: Uint8Array, writer: number, { least, most }: Allowed): Verified {
  const sequences = new Uint32Array(PAGES);
  let promised = 0;
  for (let page = 0; page < PAGES; page++) {
    const found = sequenceOf(bytes.subarray(page * PAGE, (page + 1) * PAGE), page, writer);
    if (found < least[page]! || found > most[page]!)
      throw new Error(`page ${page} holds write ${found}, and not one from ${least[page]} to ${most[page]}`);
    sequences[page] = found;
    if (least[page]! > 0) promised += PAGE;
  }
  return { sequences, bytes: promised };
}
