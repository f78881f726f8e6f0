import { ThinError } from '../errors/thin-error.js';
import type { DataReader } from './block-reader.js';
import { problemOf } from './legacy-damage.js';

const SECTOR = 512;

/** Bytes [begin, end) of a device that its metadata knows and that cannot be read. */
export interface LostBytes {
  readonly begin: number;
  readonly end: number;
  readonly problem: string;
}

/** What turned out to be lost while a device was read, in one list. */
export class LostData {
  readonly #ranges = new Map<number, LostBytes>();

  /** Ascending; what touches with one reason is one range. */
  get ranges(): readonly LostBytes[] {
    const merged: LostBytes[] = [];
    for (const range of [...this.#ranges.values()].sort((a, b) => a.begin - b.begin)) {
      const last = merged.at(-1);
      if (last !== undefined && range.begin <= last.end && range.problem === last.problem)
        merged[merged.length - 1] = { ...last, end: Math.max(last.end, range.end) };
      else merged.push(range);
    }
    return merged;
  }

  add(range: LostBytes): void {
    const known = this.#ranges.get(range.begin);
    if (known === undefined || known.end < range.end) this.#ranges.set(range.begin, range);
  }
}

/**
 * Reads bytes of `data` that a device shows `at` a place of its own. What cannot be read is zeroes and stands
 * in `lost` afterwards; without that, it is an error.
 */
export function readNoting(
  data: DataReader,
  from: number,
  into: Uint8Array,
  { at, lost }: { readonly at: number; readonly lost: LostData | undefined },
): Promise<void> {
  if (lost === undefined) return data.read(from, into);
  return readWhatIsThere(data, from, into, ({ begin, end, problem }) =>
    lost.add({ begin: at + begin, end: at + end, problem }),
  );
}

/**
 * Reads what can be read of `data`, down to single sectors; the rest is zeroes, and told with its place in
 * `into`. Errors: all but damaged.
 */
async function readWhatIsThere(
  data: DataReader,
  offset: number,
  into: Uint8Array,
  onLost: (range: LostBytes) => void,
): Promise<void> {
  let at = offset;
  const end = offset + into.length;
  const sound = async (stop: number): Promise<void> => {
    if (stop > at)
      await readSectors(data, at, into.subarray(at - offset, stop - offset), (range) =>
        onLost({ ...range, begin: range.begin - offset, end: range.end - offset }),
      );
  };
  for (const gap of data.gaps(offset, end)) {
    await sound(gap.begin);
    into.fill(0, gap.begin - offset, gap.end - offset);
    onLost({ begin: gap.begin - offset, end: gap.end - offset, problem: gap.problem });
    at = gap.end;
  }
  await sound(end);
}

async function readSectors(
  data: DataReader,
  offset: number,
  into: Uint8Array,
  onLost: (range: LostBytes) => void,
): Promise<void> {
  try {
    await data.read(offset, into);
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    if (into.length <= SECTOR) {
      into.fill(0);
      onLost({ begin: offset, end: offset + into.length, problem: problemOf(error) });
      return;
    }
    const half = Math.ceil(into.length / 2 / SECTOR) * SECTOR;
    await readSectors(data, offset, into.subarray(0, half), onLost);
    await readSectors(data, offset + half, into.subarray(half), onLost);
  }
}
