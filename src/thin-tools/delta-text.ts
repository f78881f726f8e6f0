import { setImmediate as nextTurn } from 'node:timers/promises';
import { delta, type DeltaRange } from '../metadata/delta.js';
import { deviceIn, type MetadataView } from '../metadata/metadata-view.js';

export const DELTA_FORMATS = ['simple', 'verbose', 'json'] as const;
export type DeltaFormat = (typeof DELTA_FORMATS)[number];

export interface DeltaOptions {
  /** Names or numbers. */
  readonly left: string;
  readonly right: string;
  /** thin_delta's two forms, or a JSON document with what the verbose one says. */
  readonly format: DeltaFormat;
  /** Leaves out what is the same, and does not read it where both devices share the tree above it. */
  readonly changesOnly?: boolean | undefined;
}

const PIECE = 64 * 1024;
const SECTOR = 512;

/**
 * How two devices differ, in the words of thin_delta 0.9.0, in pieces of text. @throws ThinError not-found,
 * damaged
 */
export async function* deltaText(view: MetadataView, options: DeltaOptions): AsyncGenerator<string> {
  const [left, right] = [deviceIn(view, options.left), deviceIn(view, options.right)];
  const { superblock } = view;
  const ranges = delta(view.nodes, left.root, right.root, { changesOnly: options.changesOnly === true });
  let text = '';
  if (options.format === 'json')
    text += `{"left":${named(left)},"right":${named(right)},"blockSize":${superblock.blockSize},"ranges":[`;
  else
    text +=
      `<superblock uuid="" time="${superblock.time}" transaction="${superblock.transactionId}" data_block_size="${superblock.blockSize / SECTOR}" nr_data_blocks="${superblock.chunks}">\n` +
      `  <diff left="${left.id}" right="${right.id}">\n`;
  const lines = { simple: simpleLines, verbose: verboseLines, json: jsonLines }[options.format](ranges);
  for await (const line of lines) {
    text += line;
    if (text.length < PIECE) continue;
    yield text;
    text = '';
    await nextTurn();
  }
  yield text + (options.format === 'json' ? '\n]}\n' : '  </diff>\n</superblock>\n');
}

function named({ id, name }: { id: number; name: string }): string {
  return JSON.stringify({ id, name });
}

/** Neighbours of a kind are one, wherever their chunks lie. */
async function* simpleLines(ranges: AsyncIterable<DeltaRange>): AsyncGenerator<string> {
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
async function* verboseLines(ranges: AsyncIterable<DeltaRange>): AsyncGenerator<string> {
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

async function* jsonLines(ranges: AsyncIterable<DeltaRange>): AsyncGenerator<string> {
  let before = '\n';
  for await (const range of ranges) {
    yield before + JSON.stringify(range);
    before = ',\n';
  }
}
