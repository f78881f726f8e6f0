import { ThinError } from '../errors/thin-error.js';
import { linesIn } from '../format/line-pieces.js';
import type { DeltaRange } from '../metadata/delta.js';

/**
 * The ranges in what `deltaText` wrote as JSON, one a line, as they come.
 * @throws ThinError internal (a line that is none of its own)
 */
export async function* deltaRanges(pieces: AsyncIterable<string>): AsyncGenerator<DeltaRange> {
  for await (const lines of linesIn(pieces))
    for (const line of lines) if (line.startsWith('{"kind"')) yield rangeIn(line);
}

function rangeIn(line: string): DeltaRange {
  try {
    return JSON.parse(line.replace(/,$/, '')) as DeltaRange;
  } catch (error) {
    throw new ThinError('internal', `the comparison has a line that is not a range: ${line}`, {
      cause: error,
    });
  }
}
