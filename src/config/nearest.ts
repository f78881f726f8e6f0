import { distance } from 'fastest-levenshtein';

/** More would be a list to read, and no suggestion. */
const MOST = 3;

/**
 * What may have been meant by a word that is none of `known`: first those that it begins, then those that
 * differ in a few letters, of which two that changed places count once; best first, and empty where a guess
 * would change most of the word.
 */
export function nearest(word: string, known: readonly string[]): readonly string[] {
  const lower = word.toLowerCase();
  const begun = known.filter((each) => lower !== '' && each.toLowerCase().startsWith(lower));
  const near = known
    .map((each) => ({ each, far: farness(lower, each.toLowerCase()) }))
    .filter(({ each, far }) => !begun.includes(each) && far <= Math.max(1, Math.floor(each.length / 3)))
    .sort((a, b) => a.far - b.far)
    .map(({ each }) => each);
  return [...begun, ...near].slice(0, MOST);
}

function farness(word: string, known: string): number {
  const letters = (text: string): string => Array.from(text).sort().join('');
  const far = distance(word, known);
  return far === 2 && letters(word) === letters(known) ? 1 : far;
}
