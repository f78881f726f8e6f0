import type { LegacyDevice } from './legacy-pool.js';
import type { LostRange } from './legacy-tree.js';
import { timedRuns } from './mappings.js';

const BUCKETS = 256;
const EMPTY = 0xffffffff;

/** What one walk through all mappings of a device tells. */
export interface DeviceSummary {
  readonly mapped: number;
  /** The latest time of a mapping; -1 where there is none. */
  readonly lastWritten: number;
  /** See `resemblance`. */
  readonly sketch: Uint32Array;
  /** Ascending; what cannot be known. */
  readonly lost: readonly LostRange[];
}

export function summarizeDevice({ tree, id }: LegacyDevice, dataBlocks: number): DeviceSummary {
  const lost: LostRange[] = [];
  const sketch = new Uint32Array(BUCKETS).fill(EMPTY);
  let mapped = 0;
  let lastWritten = -1;
  if (tree === undefined)
    lost.push({
      begin: 0,
      end: Infinity,
      path: `device ${id}`,
      problem: 'the root of its mappings is lost',
    });
  else
    for (const { data, length, time } of timedRuns(tree, {
      dataBlocks,
      onLost: (range) => lost.push(range),
    })) {
      mapped += length;
      lastWritten = Math.max(lastWritten, time);
      for (let at = data; at < data + length; at++) {
        const hash = mix(at);
        const bucket = hash & (BUCKETS - 1);
        const rest = mix(hash);
        if (rest < sketch[bucket]!) sketch[bucket] = rest;
      }
    }
  return { mapped, lastWritten, sketch, lost };
}

/**
 * How many of two devices' data blocks are the same, roughly, from 0 to 256: a MinHash with one permutation.
 * Compares many devices without holding their mappings in memory.
 */
export function resemblance(a: DeviceSummary, b: DeviceSummary): number {
  let equal = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++)
    if (a.sketch[bucket] === b.sketch[bucket] && a.sketch[bucket] !== EMPTY) equal++;
  return equal;
}

/** The finalizer of MurmurHash3, over the low and the high part of a data block's number. */
function mix(value: number): number {
  let hash = (value >>> 0) ^ Math.imul(Math.floor(value / 2 ** 32), 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
