import { ThinError } from '../../errors/thin-error.js';
import type { LegacyPool } from '../legacy-pool.js';
import { damageIn, surveyPool } from '../survey.js';

/** Data blocks [begin, begin + length). */
export interface BlockRun {
  readonly begin: number;
  readonly length: number;
}

/** What no device and no metadata snapshot maps, and what one does; ascending. */
export interface DataUse {
  readonly free: readonly BlockRun[];
  readonly used: readonly BlockRun[];
}

/**
 * Counts what refers to each data block of a pool. Only of metadata in which nothing is wrong, for what it
 * calls free is given away. Errors: damaged.
 */
export function dataUse(pool: LegacyPool): DataUse {
  const survey = surveyPool(pool);
  const [first, ...others] = damageIn(survey);
  if (first !== undefined)
    throw new ThinError(
      'damaged',
      `the metadata is not sound, so thinfuse cannot tell what is free: ${first.path}: ${first.problem}${others.length > 0 ? `; and ${others.length} problems more` : ''}; mend it first with repair --metadata`,
      { details: { path: first.path } },
    );
  const free: { begin: number; length: number }[] = [];
  const used: { begin: number; length: number }[] = [];
  for (const counts of survey.census.data())
    for (let block = counts.first; block < counts.end; block++) {
      const runs = counts.of(block) === 0 ? free : used;
      const last = runs.at(-1);
      if (last !== undefined && last.begin + last.length === block) last.length++;
      else runs.push({ begin: block, length: 1 });
    }
  return { free, used };
}
