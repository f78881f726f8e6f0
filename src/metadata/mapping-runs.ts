import type { NodeLoader } from '../btree/node-source.js';
import { leaves, refuse, type TreeVisitor } from '../btree/walk.js';
import type { NodeId } from '../format/ids.js';

/**
 * Consecutive virtual blocks that map to consecutive chunks, all of one time: what thin_dump makes one line
 * of.
 */
export interface MappingRun {
  readonly begin: number;
  readonly chunk: number;
  readonly length: number;
  readonly time: number;
}

/** The same at one moment, whatever its time. */
export type PlacedRun = Omit<MappingRun, 'time'>;

/**
 * The runs of a tree, as long as they go, ascending.
 * @param damaged called for each node that cannot be read; without it, such a node ends the walk
 * @throws ThinError damaged, wrong-version
 */
export async function* mappingRuns(
  nodes: NodeLoader,
  root: NodeId,
  damaged: TreeVisitor['damaged'] = refuse,
): AsyncGenerator<MappingRun> {
  let run: { begin: number; chunk: number; length: number; time: number } | undefined;
  for await (const leaf of leaves(nodes, root, damaged)) {
    for (let i = 0; i < leaf.count; i++) {
      const [begin, chunk, time] = [leaf.keys[i]!, leaf.a[i]!, leaf.b[i]!];
      if (
        run !== undefined &&
        begin === run.begin + run.length &&
        chunk === run.chunk + run.length &&
        time === run.time
      )
        run.length++;
      else {
        if (run !== undefined) yield run;
        run = { begin, chunk, length: 1, time };
      }
    }
  }
  if (run !== undefined) yield run;
}
