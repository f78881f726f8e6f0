import { sealDeviceRecord, type DeviceRecord } from '../format/device-record.js';
import { deviceKey, rangeOf, superblockKey, type KeyKind } from '../format/keys.js';
import { sealSuperblock, type Superblock } from '../format/superblock.js';
import type { KvOperation, KvReader } from '../store/key-value.js';
import type { Check } from './check.js';
import { spaceMapSheets } from './space-map-sheets.js';

/**
 * The batch that mends what a whole check found: both space maps anew from the references in the trees, stray
 * nodes and chunks gone, each device's count of mapped blocks right, the flag needs_check cleared. Undefined
 * where something is beyond that: then nothing is touched.
 */
export async function repairOperations(
  store: KvReader,
  check: Check,
): Promise<readonly KvOperation[] | undefined> {
  const { superblock, references } = check;
  if (superblock === undefined || check.result().findings.some(({ repairable }) => !repairable))
    return undefined;
  return [
    ...(await deleteAll(store, ['chunk-map-sheet', 'node-map-sheet'])),
    ...spaceMapSheets('chunk-map-sheet', references.chunks),
    ...spaceMapSheets('node-map-sheet', references.nodes),
    ...check.remote.collect().operations,
    ...check.strayKeys.map((key): KvOperation => ({ type: 'del', key })),
    ...check.miscounted.map(putDevice),
    putSuperblock({
      ...superblock,
      needsCheck: false,
      remoteChunks: check.remote.total,
      totals: {
        devices: check.result().devices,
        chunks: references.chunks.size,
        nodes: references.nodes.size,
      },
    }),
  ];
}

export function putSuperblock(superblock: Superblock): KvOperation {
  return { type: 'put', key: superblockKey, value: sealSuperblock(superblock) };
}

export function putDevice(record: DeviceRecord): KvOperation {
  return { type: 'put', key: deviceKey(record.id), value: sealDeviceRecord(record) };
}

/** Later operations of the same batch may put some of the keys back. */
export async function deleteAll(store: KvReader, kinds: readonly KeyKind[]): Promise<KvOperation[]> {
  const operations: KvOperation[] = [];
  for (const kind of kinds)
    for await (const [key] of store.entries(rangeOf(kind), { values: false }))
      operations.push({ type: 'del', key });
  return operations;
}
