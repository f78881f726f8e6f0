import type { PlacedRun } from '../metadata/mapping-runs.js';
import { SEARCH_STEP, type DeviceMappings, type MappedBlock } from './device-mappings.js';

interface Mapped {
  /** The byte of the first block from `block` on that is mapped; in bounded steps. */
  readonly seek: (block: number) => Promise<number | undefined>;
  /** Bytes, as the next. */
  readonly chunkSize: number;
  readonly size: () => number;
}

/** What a device maps, ascending, a bounded part at a time. @throws ThinError damaged */
export async function* placedRuns(
  mappings: DeviceMappings,
  { seek, chunkSize, size }: Mapped,
): AsyncGenerator<readonly PlacedRun[]> {
  for (let from = 0; from * chunkSize < size();) {
    const found = await seek(from);
    if (found === undefined) return;
    const first = Math.floor(found / chunkSize);
    from = Math.min(first + SEARCH_STEP, Math.ceil(size() / chunkSize));
    yield runsOf(mappings.mapped(first, from));
  }
}

/** @param mapped ascending */
function runsOf(mapped: Iterable<MappedBlock>): readonly PlacedRun[] {
  const runs: { begin: number; chunk: number; length: number }[] = [];
  for (const { block, chunk } of mapped) {
    const last = runs.at(-1);
    if (last !== undefined && block === last.begin + last.length && chunk === last.chunk + last.length)
      last.length++;
    else runs.push({ begin: block, chunk, length: 1 });
  }
  return runs;
}
