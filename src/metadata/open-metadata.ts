import { randomUUID } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import { unpackDeviceRecord } from '../format/device-record.js';
import { chunkId, deviceId, snapTime, transactionId } from '../format/ids.js';
import {
  describeKey,
  optionsKey,
  rangeOf,
  superblockKey,
  unpackKey,
  type NumberedKeyKind,
} from '../format/keys.js';
import { unpackHeldPiece } from '../format/metadata-snapshot.js';
import { FULL_NODE, type NodeLimits } from '../format/node.js';
import { unpackPendingDelete } from '../format/pending-delete.js';
import { unseal } from '../format/seal.js';
import { unpackSuperblock, type Superblock } from '../format/superblock.js';
import type { KeyValue, KvReader } from '../store/key-value.js';
import { disagreements } from './agreement.js';
import { BackingTable } from './backing-table.js';
import { DeviceTable } from './device-table.js';
import { Metadata } from './metadata.js';
import { NodeTable } from './node-table.js';
import { HeldRoots } from './held-roots.js';
import { SpaceMap } from './space-map.js';
import { heldRoots as rootsOf, readHeldValue } from './stored-held.js';
import { readRemote } from './stored-remote.js';

export interface MetadataOptions {
  readonly limits?: NodeLimits;
  /** Clean nodes kept in memory, about 4 KiB each. */
  readonly cachedNodes?: number;
  /**
   * Told of each record or sheet that cannot be used, which is then left out; without it, that ends the
   * opening.
   */
  readonly onDamage?: (error: ThinError) => void;
}

/** 32 MiB of nodes map about 170 GiB of 64 KiB chunks. */
const CACHED_NODES = 8192;

/** Of a pool without devices: all that its metadata needs to begin with. */
export function newSuperblock(
  shape: Pick<Superblock, 'kind' | 'blockSize' | 'chunks' | 'nodes'>,
): Superblock {
  return {
    ...shape,
    uuid: randomUUID(),
    time: snapTime(0),
    transactionId: transactionId(0),
    lastDeviceId: deviceId(0),
    needsCheck: false,
    baseUuid: '',
    lastTransaction: undefined,
  };
}

/** @throws ThinError no-pool, damaged, wrong-version */
export function readSuperblock(store: KvReader): Superblock {
  const bytes = store.getSync(superblockKey);
  if (bytes === undefined) {
    if (store.getSync(optionsKey) !== undefined) throw damage('superblock', 'it is missing');
    throw new ThinError('no-pool', 'the store has no superblock: it holds no pool');
  }
  return unpackSuperblock(unseal('superblock', 0, bytes, 'superblock'), 'superblock');
}

/**
 * Reads everything but the trees, which are read as they are needed. What was opened around damage must not
 * be changed.
 * @throws ThinError no-pool, damaged (at least the superblock), wrong-version
 */
export async function openMetadata(store: KeyValue, options: MetadataOptions = {}): Promise<Metadata> {
  const superblock = readSuperblock(store);
  const chunks = new SpaceMap(superblock.chunks);
  const nodes = new SpaceMap(superblock.nodes);
  const devices = new DeviceTable();
  const heldRoots = new HeldRoots();
  const unread: ThinError[] = [];
  const load = async (
    kind: SealedKind,
    take: (id: number, body: Uint8Array, path: string, value: Uint8Array) => void | Promise<void>,
  ): Promise<void> => {
    for await (const [key, value] of store.entries(rangeOf(kind)))
      try {
        const { id, body, path } = unsealed(kind, key, value);
        await take(id, body, path, value);
      } catch (error) {
        if (options.onDamage === undefined || !isDamage(error)) throw error;
        unread.push(error);
        options.onDamage(error);
      }
  };
  await load('chunk-map-sheet', (id, body, path) => chunks.loadSheet(id, body, path));
  await load('node-map-sheet', (id, body, path) => nodes.loadSheet(id, body, path));
  await load('device', (id, body, path) => devices.load(unpackDeviceRecord(deviceId(id), body, path)));
  await load('pending-delete', (id, body, path) =>
    devices.loadPending(unpackPendingDelete(deviceId(id), body, path)),
  );
  await load('metadata-snapshot', async (id, _body, path, value) => {
    const held = readHeldValue(id, value, path);
    heldRoots.load(held.snapshot, await rootsOf(held));
  });
  await load('held-piece', (number, body, path) =>
    heldRoots.loadPiece(
      number,
      unpackHeldPiece(body, path).records.map(({ root }) => root),
    ),
  );
  const remote = await readRemote(store, (error) => {
    if (options.onDamage === undefined) throw error;
    unread.push(error);
    options.onDamage(error);
  });
  if (unread.length === 0)
    for (const { problem } of disagreements(superblock, devices.all(), {
      devices: devices.count,
      chunks: chunks.counted,
      nodes: nodes.counted,
      remote: remote.count,
    })) {
      const error = damage('superblock', problem);
      if (options.onDamage === undefined) throw error;
      options.onDamage(error);
    }
  const backings = new BackingTable();
  for await (const [key, value] of store.entries(rangeOf('chunk-backing'))) {
    const id = unpackKey('chunk-backing', key);
    if (id !== undefined) backings.load(chunkId(id), value);
  }
  const table = new NodeTable(store, nodes, chunks, {
    limits: options.limits ?? FULL_NODE,
    cachedNodes: options.cachedNodes ?? CACHED_NODES,
  });
  // The sheets were just read; nothing is to be written yet.
  chunks.takeDirty();
  nodes.takeDirty();
  return new Metadata({ superblock, chunks, nodes, devices, heldRoots, backings, remote, table });
}

type SealedKind = Exclude<NumberedKeyKind, 'chunk'>;

interface Unsealed {
  readonly id: number;
  readonly body: Uint8Array;
  readonly path: string;
}

/** All values of one kind, their seals checked. @throws ThinError damaged, wrong-version */
export async function* sealedValues(store: KvReader, kind: SealedKind): AsyncGenerator<Unsealed> {
  for await (const [key, value] of store.entries(rangeOf(kind))) yield unsealed(kind, key, value);
}

function unsealed(kind: SealedKind, key: Uint8Array, value: Uint8Array): Unsealed {
  const path = describeKey(key);
  const id = unpackKey(kind, key);
  if (id === undefined) throw new ThinError('damaged', `${path}: a pool has no such key`);
  return { id, body: unseal(kind, id, value, path), path };
}

function isDamage(error: unknown): error is ThinError {
  return error instanceof ThinError && error.code === 'damaged';
}
