/** Of no values: undefined. Of an even number of them: the mean of the middle two. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

export function summarize(values: readonly number[]): Summary | undefined {
  const middle = median(values);
  if (middle === undefined) return undefined;
  return { median: middle, min: Math.min(...values), max: Math.max(...values), count: values.length };
}

/** How many times as good `ours` is as `theirs`: above 1 is better, whichever way the figure is read. */
export function advantage(
  ours: number | undefined,
  theirs: number | undefined,
  better: 'higher' | 'lower',
): number | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  const ratio = better === 'higher' ? ours / theirs : theirs / ours;
  return Number.isFinite(ratio) ? ratio : undefined;
}
