import type { DataReader } from './block-reader.js';
import type { LegacyPool } from './legacy-pool.js';
import type { LegacyTree } from './legacy-tree.js';
import type { LostBytes } from './lost-data.js';
import { mappedRuns } from './mappings.js';

/**
 * What a device maps and is not there: its data is too short, or a disk of it is missing. In bytes of the
 * device, ascending.
 */
export function missingData(
  pool: LegacyPool,
  data: DataReader,
  { tree, size }: { readonly tree: LegacyTree; readonly size: number },
): readonly LostBytes[] {
  const { blockSize } = pool.superblock;
  const missing: LostBytes[] = [];
  if (data.gaps(0, pool.dataBlocks * blockSize).length === 0) return missing;
  const add = (range: LostBytes): void => {
    const last = missing.at(-1);
    if (last?.end === range.begin && last.problem === range.problem)
      missing[missing.length - 1] = { ...last, end: range.end };
    else missing.push(range);
  };
  for (const run of mappedRuns(tree, { dataBlocks: pool.dataBlocks, onLost: () => undefined })) {
    const to = run.begin * blockSize;
    const from = run.data * blockSize;
    const length = Math.min(run.length * blockSize, size - to);
    if (length <= 0) continue;
    for (const { begin, end, problem } of data.gaps(from, from + length))
      add({ begin: begin - from + to, end: end - from + to, problem });
  }
  return missing;
}

/** One a line. */
export function lostDataLines(device: string, lost: readonly LostBytes[]): readonly string[] {
  return lost.map(
    ({ begin, end, problem }) => `device ${device}: bytes ${begin} to ${end - 1} cannot be read: ${problem}`,
  );
}
