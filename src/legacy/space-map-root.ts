import { readCount } from './disk-block.js';

/** Where a root has the number of its allocated blocks. */
export const ALLOCATED_AT = 8;

/** As `struct disk_sm_root` of dm-space-map-common.h. */
export interface SpaceMapRoot {
  readonly blocks: number;
  readonly allocated: number;
  /** Of the data: the tree of index entries. Of the metadata: the one index block. */
  readonly bitmapRoot: number;
  /** Tree of the counts that no bitmap holds. */
  readonly refCountRoot: number;
}

/** root := nr-blocks:u64 nr-allocated:u64 bitmap-root:u64 ref-count-root:u64. @throws ThinError damaged, naming `path` */
export function unpackSpaceMapRoot(bytes: Buffer, path: string): SpaceMapRoot {
  return {
    blocks: readCount(bytes, 0, path, 'number of blocks'),
    allocated: readCount(bytes, 8, path, 'number of allocated blocks'),
    bitmapRoot: readCount(bytes, 16, path, 'bitmap root'),
    refCountRoot: readCount(bytes, 24, path, 'reference count root'),
  };
}
