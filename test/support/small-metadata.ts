import type { DeviceName } from '../../src/format/ids.js';
import { putSuperblock } from '../../src/metadata/auto-repair.js';
import type { Metadata } from '../../src/metadata/metadata.js';
import { newSuperblock, openMetadata } from '../../src/metadata/open-metadata.js';
import { packOptions } from '../../src/pool/options-record.js';
import { MemoryStore } from './memory-store.js';
import { TEST_OPTIONS } from './small-pool.js';

export const SMALL_NODES = { leaf: 4, internal: 4 };

/** A device of `blocks` chunks, but for its name. */
export function smallDevice(blocks: number) {
  return { kind: 'snapshot', size: blocks * 65536, createdAt: 0, filesystem: 'xfs' } as const;
}

/** Metadata without a pool, with devices `device-1` .. `device-N` in its open transaction. */
export async function makeMetadata(
  blocks: number,
  devices: number,
): Promise<{ store: MemoryStore; metadata: Metadata }> {
  const store = new MemoryStore();
  const superblock = newSuperblock({ kind: 'direct', blockSize: 65536, chunks: 4096, nodes: 4096 });
  await store.batch([putSuperblock(superblock), packOptions(TEST_OPTIONS, superblock.uuid)], { sync: true });
  const metadata = await openMetadata(store, { limits: SMALL_NODES });
  for (let n = 1; n <= devices; n++)
    metadata.createThin({ ...smallDevice(blocks), name: `device-${n}` as DeviceName });
  return { store, metadata };
}

/** As a pool commits. */
export async function commitMetadata(store: MemoryStore, metadata: Metadata): Promise<void> {
  metadata.releaseFreed();
  const changes = metadata.collect();
  await store.batch(changes.operations, { sync: true });
  changes.settle();
  metadata.chunks.release(changes.freedChunks);
}
