import { Pace } from '../async/pace.js';
import { refuse, walk } from '../btree/walk.js';
import { chunkId, type NodeId } from '../format/ids.js';
import type { Metadata } from './metadata.js';
import type { MetadataView } from './metadata-view.js';
import { SparseCounts } from './sparse-counts.js';

/**
 * Counts the chunks that only the trees of `roots` map, also those that several of them share: all of these
 * are free when all of those trees are deleted. Reads the nodes that would be freed, as `NodeTable.release`
 * does, and changes nothing. Writes meanwhile may be counted or not. @throws ThinError damaged
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
  // Another tree or metadata snapshot still holds the node, and what is below it.
  const enter = (id: NodeId): boolean => droppedNodes.add(id) + 1 >= nodes.count(id);
  let count = 0;
  const pace = new Pace();
  for (const root of roots)
    for await (const node of walk(source, root, { enter, damaged: refuse })) {
      await (pace.pause() ?? undefined);
      if (!node.isLeaf) continue;
      for (let index = 0; index < node.count; index++) {
        // A partial chunk that goes releases the chunk that has the rest of its pages.
        let chunk: number | undefined = node.a[index];
        while (chunk !== undefined && isLast(chunk)) {
          count++;
          chunk = backings.backingOf(chunkId(chunk));
        }
      }
    }
  return count;
}
