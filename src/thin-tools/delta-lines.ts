import type { DeltaRange } from '../metadata/delta.js';

export type { DeltaRange } from '../metadata/delta.js';

export const DELTA_FORMATS = ['simple', 'verbose', 'json'] as const;
export type DeltaFormat = (typeof DELTA_FORMATS)[number];

type Ranges = AsyncIterable<DeltaRange> | Iterable<DeltaRange>;

/** What stands between the head and the end of a comparison: thin_delta 0.9.0's lines, or items of JSON. */
export const DELTA_LINES: Readonly<Record<DeltaFormat, (ranges: Ranges) => AsyncGenerator<string>>> = {
  simple: simpleLines,
  verbose: verboseLines,
  json: jsonLines,
};

/** Neighbours of a kind are one, wherever their chunks lie. */
async function* simpleLines(ranges: Ranges): AsyncGenerator<string> {
  const line = ({ kind, begin, length }: Pick<DeltaRange, 'kind' | 'begin' | 'length'>): string =>
    `    <${kind} begin="${begin}" length="${length}"/>\n`;
  let open: { kind: DeltaRange['kind']; begin: number; length: number } | undefined;
  for await (const { kind, begin, length } of ranges) {
    if (open?.kind === kind && open.begin + open.length === begin) {
      open.length += length;
      continue;
    }
    if (open !== undefined) yield line(open);
    open = { kind, begin, length };
  }
  if (open !== undefined) yield line(open);
}

/** Ranges of a kind that follow each other stand in one element, though there may be blocks between them. */
async function* verboseLines(ranges: Ranges): AsyncGenerator<string> {
  let open: DeltaRange['kind'] | undefined;
  for await (const range of ranges) {
    if (range.kind !== open) {
      if (open !== undefined) yield `    </${open}>\n`;
      yield `    <${range.kind}>\n`;
      open = range.kind;
    }
    const chunks =
      range.kind === 'different'
        ? `left_data_begin="${range.left}" right_data_begin="${range.right}"`
        : `data_begin="${range.chunk}"`;
    yield `      <range begin="${range.begin}" ${chunks} length="${range.length}"/>\n`;
  }
  if (open !== undefined) yield `    </${open}>\n`;
}

async function* jsonLines(ranges: Ranges): AsyncGenerator<string> {
  let before = '\n';
  for await (const range of ranges) {
    yield before + JSON.stringify(range);
    before = ',\n';
  }
}
