import { ThinError } from '../errors/thin-error.js';
import { linesIn } from '../format/line-pieces.js';
import type { MappingRun } from '../metadata/mapping-runs.js';

const SINGLE = /<single_mapping origin_block="(\d+)" data_block="(\d+)" time="(\d+)"\/>/;
const RANGE = /<range_mapping origin_begin="(\d+)" data_begin="(\d+)" length="(\d+)" time="(\d+)"\/>/;

/**
 * The mappings in what `dump` wrote of one device, as they come, so that a device of any size passes through.
 * @throws ThinError internal (a mapping that is none of its words)
 */
export async function* dumpedRuns(pieces: AsyncIterable<string>): AsyncGenerator<MappingRun> {
  for await (const lines of linesIn(pieces))
    for (const line of lines) if (line.includes('_mapping ')) yield runIn(line);
}

function runIn(line: string): MappingRun {
  const single = SINGLE.exec(line);
  if (single !== null)
    return { begin: Number(single[1]), chunk: Number(single[2]), length: 1, time: Number(single[3]) };
  const range = RANGE.exec(line);
  if (range === null)
    throw new ThinError('internal', `the dump has a line that is not a mapping: ${line.trim()}`);
  return {
    begin: Number(range[1]),
    chunk: Number(range[2]),
    length: Number(range[3]),
    time: Number(range[4]),
  };
}
