import { distance } from 'fastest-levenshtein';

/** More would be a list to read, and no suggestion. */
const MOST = 3;

/**
 * What may have been meant by a word that is none of `known`: first those that it begins, then those that
 * differ in a few letters; best first, and empty where a guess would change most of the word.
 */
export function nearest(word: string, known: readonly string[]): readonly string[] {
  const lower = word.toLowerCase();
  const begun = known.filter((each) => lower !== '' && each.toLowerCase().startsWith(lower));
  const near = known
    .map((each) => ({ each, far: distance(lower, each.toLowerCase()) }))
    .filter(({ each, far }) => !begun.includes(each) && far <= Math.max(1, Math.floor(each.length / 3)))
    .sort((a, b) => a.far - b.far)
    .map(({ each }) => each);
  return [...begun, ...near].slice(0, MOST);
}
