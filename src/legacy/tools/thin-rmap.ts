import { dataBlockOf, MAPPING_BYTES } from '../mapping-value.js';
import { ToolFault } from './tool-blocks.js';
import type { ToolMetadata } from './tool-metadata.js';
import { ToolWalk } from './tool-walk.js';

/** Chunks [chunk, chunk + length) are what `device` shows from `block` on. */
export interface ToolReverseRun {
  readonly chunk: number;
  readonly length: number;
  readonly device: number;
  readonly block: number;
}

/**
 * Who maps data blocks of some regions, by data block. As thin_rmap does, of a node that devices share only
 * the first is told. @throws ToolFault
 */
export function thinRmap(
  { blocks, superblock }: ToolMetadata,
  regions: readonly { readonly begin: number; readonly end: number }[],
): readonly ToolReverseRun[] {
  const runs: { chunk: number; length: number; device: number; block: number }[] = [];
  const isAsked = (data: number): boolean => regions.some(({ begin, end }) => data >= begin && data < end);
  const walk = new ToolWalk(blocks, { levels: 2, valueSize: MAPPING_BYTES }, () => {
    throw new ToolFault('Damage in mapping tree, please run thin_check.\n');
  });
  for (const {
    path: [id = 0],
    node,
  } of walk.leaves(superblock.mappingRoot)) {
    const device = Number(BigInt.asUintN(32, BigInt(id)));
    for (let index = 0; index < node.count; index++) {
      const chunk = dataBlockOf(node.low(index), node.high(index));
      if (!isAsked(chunk)) continue;
      const block = node.key(index);
      const last = runs.at(-1);
      if (last?.device === device && chunk === last.chunk + last.length && block === last.block + last.length)
        last.length++;
      else runs.push({ chunk, length: 1, device, block });
    }
  }
  return runs.sort((a, b) => a.chunk - b.chunk);
}
