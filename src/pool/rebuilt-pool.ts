import type { DeviceRecord } from '../format/device-record.js';
import type { KeyKind } from '../format/keys.js';
import type { Superblock } from '../format/superblock.js';
import { deleteAll, putDevice, putSuperblock } from '../metadata/auto-repair.js';
import { spaceMapSheets } from '../metadata/space-map-sheets.js';
import type { RemoteTable } from '../metadata/remote-table.js';
import type { TreeBuilder } from '../metadata/tree-builder.js';
import type { KvOperation, KvReader } from '../store/key-value.js';
import type { PoolOptions } from './info.js';
import { packOptions } from './options-record.js';
import { withPackedFlag } from './packed-flag.js';

/** All that is metadata; chunks are not. */
const METADATA_KINDS: readonly KeyKind[] = [
  'superblock',
  'options',
  'node',
  'chunk-map-sheet',
  'node-map-sheet',
  'device',
  'pending-delete',
  'metadata-snapshot',
  'held-piece',
  // The records of a log belong to the metadata that is replaced.
  'log-state',
  'remote-sheet',
  'remote-image',
];

/** Metadata that was built anew, with the trees that `builder` has kept. */
export interface RebuiltPool {
  readonly superblock: Superblock;
  readonly options: PoolOptions;
  readonly devices: readonly DeviceRecord[];
  readonly builder: TreeBuilder;
  /** Of the chunks that it maps. */
  readonly remote: RemoteTable;
}

/** The one batch that puts it in the place of whatever metadata the store has. */
export async function rebuiltOperations(store: KvReader, pool: RebuiltPool): Promise<readonly KvOperation[]> {
  const { superblock, options, devices, builder, remote } = pool;
  const totals = {
    devices: devices.length,
    chunks: builder.chunkCounts.size,
    nodes: builder.nodeCounts.size,
  };
  return [
    ...(await deleteAll(store, METADATA_KINDS)),
    ...builder.operations,
    ...remote.operations(),
    ...spaceMapSheets('chunk-map-sheet', builder.chunkCounts),
    ...spaceMapSheets('node-map-sheet', builder.nodeCounts),
    ...devices.map(putDevice),
    packOptions(options, superblock.uuid),
    putSuperblock({ ...withPackedFlag(superblock, options), totals, remoteChunks: remote.total }),
  ];
}
