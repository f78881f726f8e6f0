/** commander's parser of an option that may be given more than once. */
export function repeated<T>(
  parse: (text: string) => T,
): (text: string, before?: readonly T[]) => readonly T[] {
  return (text, before = []) => [...before, parse(text)];
}

/** Of one whose values are taken as they are. */
export const repeatedText = repeated((text) => text);
