import type { ReverseRun } from '../metadata/reverse-map.js';

/** thin_rmap's lines, each with its newline. */
export function rmapLines(runs: readonly ReverseRun[]): string {
  return runs
    .map(
      ({ chunk, length, device, block }) =>
        `data ${String(chunk)}..${String(chunk + length)} -> thin(${String(device)}) ${String(block)}..${String(block + length)}\n`,
    )
    .join('');
}
