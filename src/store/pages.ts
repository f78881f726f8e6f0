import { countPages } from '../format/chunk-patch.js';

/** Pages of a chunk are told apart at this size at least, in bytes; a chunk has at most 32 of them. */
const MIN_PAGE = 4096;

/**
 * Of a chunk's pages, how many may be kept apart from the rest. A patch is written anew with each page that
 * comes to it, and with k pages before it gives way to the whole chunk of n, a page costs (1 + 2 + ... + k +
 * n) / (k + 1) pages: for n = 16 that is least at 4 and 5.
 */
const MOST_APART = 1 / 4;

/** Bytes. */
export function pageSize(chunkSize: number): number {
  return Math.max(MIN_PAGE, chunkSize / 32);
}

/** Bits of the pages that a range touches. */
export function pagesOf(within: number, length: number, page: number): number {
  const first = Math.floor(within / page);
  const last = Math.floor((within + length - 1) / page);
  const above = last >= 31 ? 0 : -1 << (last + 1);
  return ~above & (-1 << first);
}

/** Whether so many of all pages are few enough to be kept apart. */
export function areFew(pages: number, all: number): boolean {
  return countPages(pages) <= MOST_APART * countPages(all);
}
