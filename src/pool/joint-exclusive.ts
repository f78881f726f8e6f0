import { chunkId, type NodeId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import type { MetadataView } from '../metadata/metadata-view.js';
import { SparseCounts } from '../metadata/sparse-counts.js';
import { nextTurn } from './usage-counter.js';

/** Nodes between two turns of others: each has up to some hundred entries. */
const NODES_PER_TURN = 64;

/**
 * Chunks that nothing but the trees of `roots` maps, which is what comes back when all of them go: what
 * several of those trees share, too. Goes through the nodes that would go with them, as `NodeTable.release`
 * does, and changes nothing. What is written meanwhile may be counted or not. @throws ThinError damaged
 */
export async function jointExclusive(
  { nodes, chunks, backings }: Pick<Metadata, 'nodes' | 'chunks' | 'backings'>,
  source: MetadataView['nodes'],
  roots: readonly NodeId[],
): Promise<number> {
  const droppedNodes = new SparseCounts();
  const droppedChunks = new SparseCounts();
  const isLast = (chunk: number): boolean => {
    const held = chunks.count(chunk);
    return held <= 1 || droppedChunks.add(chunk) + 1 === held;
  };
  let count = 0;
  let looks = 0;
  const stack = [...roots];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    // Another tree or metadata snapshot still holds it, and what is below it.
    if (droppedNodes.add(id) + 1 < nodes.count(id)) continue;
    if (++looks % NODES_PER_TURN === 0) await nextTurn();
    const node = await source.load(id);
    for (let index = 0; index < node.count; index++) {
      if (!node.isLeaf) {
        stack.push(node.child(index));
        continue;
      }
      // A partial chunk that goes lets go of the chunk that has the rest of its pages.
      let chunk: number | undefined = node.a[index];
      while (chunk !== undefined && isLast(chunk)) {
        count++;
        chunk = backings.backingOf(chunkId(chunk));
      }
    }
  }
  return count;
}
