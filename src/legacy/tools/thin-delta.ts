import { dataBlockOf } from '../mapping-value.js';
import { ToolFault } from './tool-blocks.js';
import { ToolSpaceMap } from './tool-counts.js';
import type { ToolMetadata } from './tool-metadata.js';

const SECTOR = 512;
const PIECE = 64 * 1024;

/** Blocks that are mapped in one piece. */
interface Run {
  begin: number;
  data: number;
  length: number;
}

/** Blocks [begin, begin + length); of what both have, both places in the data. */
export interface ToolDelta {
  readonly kind: 'left_only' | 'right_only' | 'different' | 'same';
  readonly begin: number;
  readonly length: number;
  readonly data: number;
  readonly rightData: number;
}

/** The text of thin_delta 0.9, in pieces. @throws ToolFault */
export function* thinDeltaText(
  metadata: ToolMetadata,
  left: number,
  right: number,
  { verbose, changesOnly }: { readonly verbose: boolean; readonly changesOnly: boolean },
): Generator<string> {
  const { time, transaction, blockSize, snapshot } = metadata.superblock;
  const deltas = thinDelta(metadata, left, right);
  const kept = changesOnly ? withoutSame(deltas) : deltas;
  let text =
    `<superblock uuid="" time="${time}" transaction="${transaction}" data_block_size="${blockSize / SECTOR}" nr_data_blocks="${metadata.dataBlocks}"${snapshot === 0 ? '' : ` metadata_snap="${snapshot}"`}>\n` +
    `  <diff left="${left}" right="${right}">\n`;
  for (const line of verbose ? verboseLines(kept) : simpleLines(kept)) {
    text += line;
    if (text.length < PIECE) continue;
    yield text;
    text = '';
  }
  yield `${text}  </diff>\n</superblock>\n`;
}

/** Both devices are read before the first of them comes. @throws ToolFault */
export function thinDelta(metadata: ToolMetadata, left: number, right: number): Generator<ToolDelta> {
  if (metadata.superblock.block === 0)
    new ToolSpaceMap(metadata.blocks, metadata.superblock.metadataSpaceMap);
  const roots = [left, right].map((device, index) => {
    const root = metadata.rootOf(device);
    if (root === undefined)
      throw new ToolFault(`Unable to find mapping tree for snap${index + 1} (${device})`);
    return root;
  });
  const [a, b] = roots.map((root) => runsOf(metadata, root));
  return compare(a!, b!);
}

function runsOf(metadata: ToolMetadata, root: number): readonly Run[] {
  const runs: Run[] = [];
  const onDamage = (): never => {
    throw new ToolFault('damage in mapping tree, please run thin_check');
  };
  let last: Run | undefined;
  for (const { node } of metadata.mappings(root, false, onDamage))
    for (let index = 0; index < node.count; index++) {
      const begin = node.key(index);
      const data = dataBlockOf(node.low(index), node.high(index));
      if (last !== undefined && begin === last.begin + last.length && last.data + last.length === data)
        last.length++;
      else runs.push((last = { begin, data, length: 1 }));
    }
  return runs;
}

function* compare(left: readonly Run[], right: readonly Run[]): Generator<ToolDelta> {
  const a = new RunReader(left);
  const b = new RunReader(right);
  while (a.run !== undefined || b.run !== undefined) {
    const [l, r] = [a.run, b.run];
    const lBegin = l?.begin ?? Infinity;
    const rBegin = r?.begin ?? Infinity;
    if (l !== undefined && lBegin < rBegin) {
      const length = Math.min(l.length, rBegin - lBegin);
      yield { kind: 'left_only', begin: lBegin, length, data: l.data, rightData: 0 };
      a.consume(length);
    } else if (r !== undefined && rBegin < lBegin) {
      const length = Math.min(r.length, lBegin - rBegin);
      yield { kind: 'right_only', begin: rBegin, length, data: r.data, rightData: 0 };
      b.consume(length);
    } else if (l !== undefined && r !== undefined) {
      const length = Math.min(l.length, r.length);
      const kind = l.data === r.data ? 'same' : 'different';
      yield { kind, begin: lBegin, length, data: l.data, rightData: r.data };
      a.consume(length);
      b.consume(length);
    }
  }
}

class RunReader {
  readonly #runs: readonly Run[];
  #at = 0;
  run: Run | undefined;

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
    this.run = runs[0];
  }

  consume(blocks: number): void {
    const { run } = this;
    if (run === undefined) return;
    if (blocks >= run.length) this.run = this.#runs[++this.#at];
    else this.run = { begin: run.begin + blocks, data: run.data + blocks, length: run.length - blocks };
  }
}

function* withoutSame(deltas: Iterable<ToolDelta>): Generator<ToolDelta> {
  for (const delta of deltas) if (delta.kind !== 'same') yield delta;
}

/** Neighbours of a kind are one, wherever their data lies. */
function* simpleLines(deltas: Iterable<ToolDelta>): Generator<string> {
  let open: { kind: ToolDelta['kind']; begin: number; length: number } | undefined;
  const line = (): string =>
    open === undefined ? '' : `    <${open.kind} begin="${open.begin}" length="${open.length}"/>\n`;
  for (const { kind, begin, length } of deltas) {
    if (open?.kind === kind && open.begin + open.length === begin) {
      open.length += length;
      continue;
    }
    yield line();
    open = { kind, begin, length };
  }
  yield line();
}

function* verboseLines(deltas: Iterable<ToolDelta>): Generator<string> {
  let open: ToolDelta['kind'] | undefined;
  for (const { kind, begin, length, data, rightData } of deltas) {
    if (open !== kind) {
      if (open !== undefined) yield `    </${open}>\n`;
      yield `    <${kind}>\n`;
      open = kind;
    }
    const where =
      kind === 'different'
        ? `left_data_begin="${data}" right_data_begin="${rightData}"`
        : `data_begin="${data}"`;
    yield `      <range begin="${begin}" ${where} length="${length}"/>\n`;
  }
  if (open !== undefined) yield `    </${open}>\n`;
}
