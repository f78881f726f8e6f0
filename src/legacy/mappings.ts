import type { MappedRun } from '../transfer/copy-pieces.js';
import { legacyDamage, problemOf } from './legacy-damage.js';
import type { LegacyTree, WalkOptions } from './legacy-tree.js';
import { dataBlockOf, unpackMappingValue } from './mapping-value.js';

/** A run of blocks that were written in one period of the pool's clock. */
export interface TimedRun extends MappedRun {
  readonly time: number;
}

export interface RunOptions extends WalkOptions {
  /** Data blocks that the pool has; a mapping past them is damage. */
  readonly dataBlocks: number;
}

/** Ascending, each as long as it can be. Errors without `onLost`: damaged. */
export function* mappedRuns(tree: LegacyTree, options: RunOptions): Generator<MappedRun> {
  const { dataBlocks } = options;
  let begin = 0;
  let data = 0;
  let length = 0;
  for (const { node, first, end } of tree.leaves(options))
    for (let index = first; index < end; index++) {
      const block = node.keys[index]!;
      const found = dataBlockOf(node.low(index), node.high(index));
      if (found >= dataBlocks) {
        lose(tree, node.block, block, found, options);
        continue;
      }
      if (length > 0 && block === begin + length && found === data + length) {
        length++;
        continue;
      }
      if (length > 0) yield { begin, data, length };
      begin = block;
      data = found;
      length = 1;
    }
  if (length > 0) yield { begin, data, length };
}

/** As `mappedRuns`, and a run ends where the time changes: the ranges of thin_dump. */
export function* timedRuns(tree: LegacyTree, options: RunOptions): Generator<TimedRun> {
  let run: { begin: number; data: number; length: number; time: number } | undefined;
  for (const { node, first, end } of tree.leaves(options))
    for (let index = first; index < end; index++) {
      const block = node.keys[index]!;
      const { data, time } = unpackMappingValue(node.low(index), node.high(index));
      if (data >= options.dataBlocks) {
        lose(tree, node.block, block, data, options);
        continue;
      }
      if (run?.time === time && block === run.begin + run.length && data === run.data + run.length) {
        run.length++;
        continue;
      }
      if (run !== undefined) yield run;
      run = { begin: block, data, length: 1, time };
    }
  if (run !== undefined) yield run;
}

function lose(tree: LegacyTree, node: number, block: number, data: number, options: RunOptions): void {
  const path = `${tree.pathOf(node)} / block ${block}`;
  const error = legacyDamage(
    path,
    `it is mapped to data block ${data}, and the pool has ${options.dataBlocks}`,
  );
  if (options.onLost === undefined) throw error;
  options.onLost({ begin: block, end: block + 1, path, problem: problemOf(error) });
}
