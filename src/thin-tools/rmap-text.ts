import type { ReverseRun } from '../metadata/reverse-map.js';

/** thin_rmap's lines, each with its newline. */
export function rmapLines(
  runs: readonly (Omit<ReverseRun, 'device'> & { readonly device: number })[],
): string {
  return runs
    .map(
      ({ chunk, length, device, block }) =>
        `data ${chunk}..${chunk + length} -> thin(${device}) ${block}..${block + length}\n`,
    )
    .join('');
}
