import { readFile, writeFile } from 'node:fs/promises';
import { METADATA_BLOCK, sealBlock, type BlockKind } from '../../src/legacy/disk-block.js';
import type { Scratch } from './mounts.js';
import { restoreMetadata } from './old-pool.js';

/** Bytes of the metadata of `sharingMetadata`. */
export const METADATA_BYTES = 160 * METADATA_BLOCK;

/** Of a pool with sharing, counts above two, and trees of two levels. @param flags of its superblock */
export async function sharingMetadata(scratch: Scratch, flags: 0 | 1): Promise<Buffer> {
  const [xml, file] = [scratch.at('xml'), scratch.at('metadata')];
  await writeFile(xml, xmlOf(flags));
  await restoreMetadata(xml, file, METADATA_BYTES);
  return readFile(file);
}

function xmlOf(flags: number): string {
  return `<superblock uuid="" time="3" transaction="5" flags="${flags}" version="2" data_block_size="128" nr_data_blocks="2000">
${[1, 2, 3, 4]
  .map(
    (id) =>
      `<device dev_id="${id}" mapped_blocks="${600 + id}" transaction="${id}" creation_time="${id - 1}" snap_time="3">
<range_mapping origin_begin="0" data_begin="0" length="600" time="0"/>
<range_mapping origin_begin="${700 + id}" data_begin="${600 + id * 10}" length="${id}" time="${id - 1}"/></device>`,
  )
  .join('\n')}
</superblock>`;
}

/** Blocks whose sums hold, and their kinds. */
export function usedBlocks(bytes: Buffer): readonly (readonly [number, BlockKind])[] {
  const kinds: readonly BlockKind[] = ['superblock', 'node', 'bitmap', 'index'];
  const used: [number, BlockKind][] = [];
  for (let block = 0; block < bytes.length / METADATA_BLOCK; block++) {
    const content = bytes.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK);
    for (const kind of kinds)
      if (sealBlock(kind, block, Buffer.from(content)).equals(content)) used.push([block, kind]);
  }
  return used;
}

/** The same numbers for the same seed. */
export function randomOf(first: number): (below: number) => number {
  let seed = first;
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}
