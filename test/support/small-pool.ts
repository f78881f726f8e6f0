import assert from 'node:assert/strict';
import type { DeviceName } from '../../src/format/ids.js';
import { DeviceIo } from '../../src/io/device-io.js';
import { checkPool } from '../../src/metadata/check.js';
import { createPool } from '../../src/pool/create-pool.js';
import type { PoolKind, PoolOptions } from '../../src/pool/info.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openStored } from '../../src/pool/open-stored.js';
import { PoolState } from '../../src/pool/pool-state.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import type { KeyValue } from '../../src/store/key-value.js';

export const BLOCK = 64 * 1024;

export const TEST_OPTIONS: PoolOptions = {
  filesystem: 'xfs',
  mkfsArgs: [],
  mountOptions: '',
  baseSize: 12 * BLOCK,
  minFreeSpace: 0,
  deferredRemoval: true,
  deferredDeletion: true,
  xfsNospaceMaxRetries: 0,
  errorIfNoSpace: true,
  noSpaceTimeout: 60,
  originTimeout: 60,
  autoextendThreshold: 100,
  lowWater: 0,
  metadataLowWater: 0,
  compression: 'lz4',
  cacheSize: 0,
  autoextendPercent: 20,
};

export interface SmallPoolShape {
  kind?: PoolKind;
  blocks?: number;
  blockSize?: number;
  /** Bytes. */
  metadataSize?: number;
  options?: Partial<PoolOptions>;
  open?: OpenPoolOptions;
}

async function createSmallPool(store: KeyValue, shape: SmallPoolShape): Promise<void> {
  const blockSize = shape.blockSize ?? BLOCK;
  await createPool(store, {
    path: 'memory',
    kind: shape.kind ?? 'leveldb',
    blockSize,
    dataSize: (shape.blocks ?? 4096) * blockSize,
    metadataSize: shape.metadataSize ?? 64 * 2 ** 20,
    options: { ...TEST_OPTIONS, ...shape.options },
  });
}

/**
 * A pool of few blocks whose commits come only when they are asked for. Nodes keep their full size unless
 * told otherwise.
 */
export async function makeSmallPool(store: KeyValue, shape: SmallPoolShape = {}): Promise<ThinPool> {
  await createSmallPool(store, shape);
  return openPool(store, { commitInterval: 0, ...shape.open });
}

/** The parts of such a pool without the pool around them: nothing begins by itself. */
export async function makePoolState(store: KeyValue, shape: SmallPoolShape = {}): Promise<PoolState> {
  await createSmallPool(store, shape);
  return openPoolState(store, shape.open);
}

export async function openPoolState(store: KeyValue, open: OpenPoolOptions = {}): Promise<PoolState> {
  return new PoolState(store, await openStored(store, open), { ...open, zeroedFrom: undefined });
}

export function activate(state: PoolState, name: DeviceName): DeviceIo {
  const { id } = state.metadata.devices.find(name)!;
  const known = state.active.get(id);
  if (known !== undefined) return known;
  const io = new DeviceIo({ device: id, metadata: state.metadata, plane: state.plane, gate: state });
  state.active.set(id, io);
  return io;
}

/** All that is dirty is committed, and the metadata is sound. */
export async function closeState(state: PoolState): Promise<void> {
  await state.usage.stop();
  await state.commit();
  await state.committer.idle();
  await state.plane.recycled();
  const { findings } = await checkPool(state.store);
  await state.plane.chunks.close();
  await state.store.close();
  assert.deepEqual(findings, []);
}
