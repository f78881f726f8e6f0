import { DELTA_LINES, type DeltaFormat, type DeltaRange } from '../../thin-tools/delta-lines.js';
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

/** A device by its number, or mappings by the block of their root, which no device needs to have. */
export type DeltaSide = number | { readonly root: number };

/** The text of thin_delta 0.9, and 1.x's where a root is given, in pieces. @throws ToolFault */
export async function* thinDeltaText(
  metadata: ToolMetadata,
  left: DeltaSide,
  right: DeltaSide,
  { format, changesOnly }: { readonly format: DeltaFormat; readonly changesOnly: boolean },
): AsyncGenerator<string> {
  const { time, transaction, blockSize, heldRoot } = metadata.superblock;
  const deltas = thinDelta(metadata, left, right);
  const kept = changesOnly ? withoutSame(deltas) : deltas;
  let text =
    format === 'json'
      ? `{"left":${sideJson(left)},"right":${sideJson(right)},"blockSize":${blockSize},"ranges":[`
      : `<superblock uuid="" time="${time}" transaction="${transaction}" data_block_size="${blockSize / SECTOR}" nr_data_blocks="${metadata.dataBlocks}"${heldRoot === 0 ? '' : ` metadata_snap="${heldRoot}"`}>\n` +
        `  <diff ${sideText('left', left)} ${sideText('right', right)}>\n`;
  for await (const line of DELTA_LINES[format](kept)) {
    text += line;
    if (text.length < PIECE) continue;
    yield text;
    text = '';
  }
  yield text + (format === 'json' ? '\n]}\n' : '  </diff>\n</superblock>\n');
}

function sideJson(side: DeltaSide): string {
  return JSON.stringify(typeof side === 'number' ? { id: side } : side);
}

function sideText(name: 'left' | 'right', side: DeltaSide): string {
  return typeof side === 'number' ? `${name}="${side}"` : `${name}_root="${side.root}"`;
}

/** Both devices are read before the first of them comes. @throws ToolFault */
function thinDelta(metadata: ToolMetadata, left: DeltaSide, right: DeltaSide): Generator<DeltaRange> {
  if (metadata.superblock.block === 0)
    new ToolSpaceMap(metadata.blocks, metadata.superblock.metadataSpaceMap);
  const roots = [left, right].map((device, index) => {
    if (typeof device !== 'number') return device.root;
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

function* compare(left: readonly Run[], right: readonly Run[]): Generator<DeltaRange> {
  const a = new RunReader(left);
  const b = new RunReader(right);
  while (a.run !== undefined || b.run !== undefined) {
    const [l, r] = [a.run, b.run];
    const lBegin = l?.begin ?? Infinity;
    const rBegin = r?.begin ?? Infinity;
    if (l !== undefined && lBegin < rBegin) {
      const length = Math.min(l.length, rBegin - lBegin);
      yield { kind: 'left_only', begin: lBegin, length, chunk: l.data };
      a.consume(length);
    } else if (r !== undefined && rBegin < lBegin) {
      const length = Math.min(r.length, lBegin - rBegin);
      yield { kind: 'right_only', begin: rBegin, length, chunk: r.data };
      b.consume(length);
    } else if (l !== undefined && r !== undefined) {
      const length = Math.min(l.length, r.length);
      if (l.data === r.data) yield { kind: 'same', begin: lBegin, length, chunk: l.data };
      else yield { kind: 'different', begin: lBegin, length, left: l.data, right: r.data };
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

function* withoutSame(deltas: Iterable<DeltaRange>): Generator<DeltaRange> {
  for (const delta of deltas) if (delta.kind !== 'same') yield delta;
}
