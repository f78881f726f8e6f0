import { distance } from 'fastest-levenshtein';

/** More would be a list to read, and no suggestion. */
const MOST = 3;

/** A shorter word begins a part of too many. */
const LEAST_OF_A_PART = 3;

/**
 * What may have been meant by a word that is none of `known`: first those that it begins, then those that
 * differ in a few letters, of which two that changed places count once, then those with a part between `_` or
 * `-` that it begins; best first, and empty where a guess would change most of the word.
 */
export function nearest(word: string, known: readonly string[]): readonly string[] {
  const lower = word.toLowerCase();
  const begun = known.filter((each) => lower !== '' && joined(each).startsWith(joined(lower)));
  const near = known
    .map((each) => ({ each, far: farness(lower, each.toLowerCase()) }))
    .filter(({ each, far }) => far <= Math.max(1, Math.floor(each.length / 3)))
    .sort((a, b) => a.far - b.far)
    .map(({ each }) => each);
  const inside = known.filter(
    (each) =>
      lower.length >= LEAST_OF_A_PART &&
      each
        .toLowerCase()
        .split(/[_-]/)
        .some((part) => part.startsWith(lower)),
  );
  return [...new Set([...begun, ...near, ...inside])].slice(0, MOST);
}

/** What an error says of what may have been meant: the end of its message, and what its details have. */
export function suggestion(
  word: string,
  known: readonly string[],
): { readonly text: string; readonly details: { readonly suggestion?: string } } {
  const near = nearest(word, known);
  const [first] = near;
  if (first === undefined) return { text: '', details: {} };
  return { text: `; did you mean ${near.join(', ')}?`, details: { suggestion: first } };
}

function joined(text: string): string {
  return text.toLowerCase().replaceAll(/[_-]/g, '');
}

function farness(word: string, known: string): number {
  const letters = (text: string): string => Array.from(text).sort().join('');
  const far = distance(word, known);
  return far === 2 && letters(word) === letters(known) ? 1 : far;
}
