import { randomUUID } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import { unpackDeviceRecord } from '../format/device-record.js';
import { chunkId, deviceId, snapTime, transactionId } from '../format/ids.js';
import { describeKey, rangeOf, superblockKey, unpackKey, type NumberedKeyKind } from '../format/keys.js';
import { unpackMetadataSnapshot } from '../format/metadata-snapshot.js';
import { FULL_NODE, type NodeLimits } from '../format/node.js';
import { unpackPendingDelete } from '../format/pending-delete.js';
import { seal, unseal } from '../format/seal.js';
import { packSuperblock, unpackSuperblock, type Superblock } from '../format/superblock.js';
import type { KeyValue, KvOperation, KvReader } from '../store/key-value.js';
import { BaseTable } from './base-table.js';
import { DeviceTable } from './device-table.js';
import { Metadata } from './metadata.js';
import { NodeTable } from './node-table.js';
import { SnapshotTable } from './snapshot-table.js';
import { SpaceMap } from './space-map.js';

export interface MetadataOptions {
  readonly limits?: NodeLimits;
  /** Clean nodes kept in memory, about 4 KiB each. */
  readonly cachedNodes?: number;
}

/** 32 MiB of nodes map about 170 GiB of 64 KiB chunks. */
const CACHED_NODES = 8192;

/** The batch that makes an empty store a pool without devices; its owner adds what else a pool starts with. */
export function formatMetadata(
  shape: Pick<Superblock, 'kind' | 'blockSize' | 'chunks' | 'nodes'>,
): KvOperation {
  const superblock: Superblock = {
    ...shape,
    uuid: randomUUID(),
    time: snapTime(0),
    transactionId: transactionId(0),
    lastDeviceId: deviceId(0),
    needsCheck: false,
    baseUuid: '',
    lastTransaction: undefined,
  };
  return { type: 'put', key: superblockKey, value: seal('superblock', 0, packSuperblock(superblock)) };
}

/** @throws ThinError no-pool, damaged, wrong-version */
export function readSuperblock(store: KvReader): Superblock {
  const bytes = store.getSync(superblockKey);
  if (bytes === undefined) throw new ThinError('no-pool', 'the store has no superblock: it holds no pool');
  return unpackSuperblock(unseal('superblock', 0, bytes, 'superblock'), 'superblock');
}

/** Reads everything but the trees, which are read as they are needed. @throws ThinError no-pool, damaged, wrong-version */
export async function openMetadata(store: KeyValue, options: MetadataOptions = {}): Promise<Metadata> {
  const superblock = readSuperblock(store);
  const chunks = new SpaceMap(superblock.chunks);
  const nodes = new SpaceMap(superblock.nodes);
  const devices = new DeviceTable();
  const snapshots = new SnapshotTable();
  const bases = new BaseTable();
  for await (const { id, body, path } of sealedValues(store, 'chunk-map-page'))
    chunks.loadPage(id, body, path);
  for await (const { id, body, path } of sealedValues(store, 'node-map-page')) nodes.loadPage(id, body, path);
  for await (const { id, body, path } of sealedValues(store, 'device'))
    devices.load(unpackDeviceRecord(deviceId(id), body, path));
  for await (const { id, body, path } of sealedValues(store, 'pending-delete'))
    devices.loadPending(unpackPendingDelete(deviceId(id), body, path));
  for await (const { id, body, path } of sealedValues(store, 'metadata-snapshot'))
    snapshots.load(unpackMetadataSnapshot(id, body, path));
  for await (const [key, value] of store.entries(rangeOf('chunk-base'))) {
    const id = unpackKey('chunk-base', key);
    if (id === undefined)
      throw new ThinError('damaged', `${describeKey(key)}: no such key belongs into a pool`);
    bases.load(chunkId(id), value);
  }
  const table = new NodeTable(store, nodes, chunks, {
    limits: options.limits ?? FULL_NODE,
    cachedNodes: options.cachedNodes ?? CACHED_NODES,
  });
  // The pages were just read; nothing is to be written yet.
  chunks.takeDirty();
  nodes.takeDirty();
  return new Metadata({ superblock, chunks, nodes, devices, snapshots, bases, table });
}

/** All values of one kind, their seals checked. @throws ThinError damaged, wrong-version */
export async function* sealedValues(
  store: KvReader,
  kind: Exclude<NumberedKeyKind, 'chunk'>,
): AsyncGenerator<{ id: number; body: Uint8Array; path: string }> {
  for await (const [key, value] of store.entries(rangeOf(kind))) {
    const path = describeKey(key);
    const id = unpackKey(kind, key);
    if (id === undefined) throw new ThinError('damaged', `${path}: no such key belongs into a pool`);
    yield { id, body: unseal(kind, id, value, path), path };
  }
}
