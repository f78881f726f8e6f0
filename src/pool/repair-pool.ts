import { randomUUID } from 'node:crypto';
import { DEFAULT_DATA_SIZE, DEFAULT_METADATA_SIZE, DEFAULT_POOL_OPTIONS } from '../config/defaults.js';
import { ThinError } from '../errors/thin-error.js';
import { unpackChunkBacking } from '../format/chunk-backing.js';
import type { DataLabel } from '../format/data-label.js';
import type { DeviceRecord } from '../format/device-record.js';
import { damage } from '../format/damage.js';
import { chunkId, deviceId, MAX_CHUNKS, snapTime, transactionId, type ChunkId } from '../format/ids.js';
import { chunkBackingKey, describeKey, rangeOf, unpackKey } from '../format/keys.js';
import { FULL_NODE, type NodeLimits } from '../format/node.js';
import { unseal } from '../format/seal.js';
import type { Superblock } from '../format/superblock.js';
import { mappingRuns } from '../metadata/mapping-runs.js';
import { StoredNodes } from '../metadata/metadata-view.js';
import type { RemoteTable } from '../metadata/remote-table.js';
import { readRemote } from '../metadata/stored-remote.js';
import { TreeBuilder } from '../metadata/tree-builder.js';
import { pageSize } from '../store/pages.js';
import {
  chunkSizeOf,
  copyWhole,
  putChanges,
  readPartial,
  readWhole,
  type ChunkChange,
} from '../store/chunk-values.js';
import type { KeyValue, KvOperation, KvReader } from '../store/key-value.js';
import { METADATA_BLOCK_SIZE } from './create-pool.js';
import { rebuiltOperations } from './rebuilt-pool.js';
import { salvageRecords, type Salvaged } from './salvage.js';

export interface RepairReport {
  readonly devices: number;
  /** Chunks that came along: copied, or still mapped where the data of a `direct` pool stays in its place. */
  readonly chunks: number;
  /** What the new pool does not have, and why; empty: the new pool holds all that the old one did. */
  readonly lost: readonly { readonly path: string; readonly problem: string }[];
  /** Chunks that blocks mapped and that the new pool does not have; undefined: not all of them are known. */
  readonly lostChunks: ReadonlySet<number> | undefined;
}

export type RepairSource = KvReader & { isLost?(key: Uint8Array): boolean };

interface RepairParts {
  readonly limits: NodeLimits;
  readonly data: DataLabel | undefined;
  readonly lost: RepairReport['lost'];
}

/** Bytes of chunks in a batch. */
const BATCH_BYTES = 4 * 2 ** 20;

/**
 * Copies what is reachable and healthy of a pool into an empty store (thin_repair): every chunk is read and
 * its seal checked, trees and space maps are built anew. The old store is only read. The new one is a pool
 * once the last batch is in.
 * @param from may know (`isLost`) of keys whose newest values are gone; `lost`: what it says of them, for the
 *   report
 * @param data the label of a `direct` pool's data, which is neither read nor moved: the new pool is around it
 *   too
 * @throws ThinError damaged (no device can be read), wrong-version, unsupported, and what the stores throw
 */
export async function repairPool(
  from: RepairSource,
  to: KeyValue,
  { limits = FULL_NODE, data, lost = [] }: Partial<RepairParts> = {},
): Promise<RepairReport> {
  const repair = new Repair(from, to, { limits, data, lost }, await salvageRecords(from));
  return repair.run();
}

class Repair {
  readonly #from: RepairSource;
  readonly #to: KeyValue;
  readonly #limits: NodeLimits;
  readonly #data: DataLabel | undefined;
  /** Partial chunks of a `direct` pool, and their backings. */
  readonly #backings = new Map<number, number>();
  readonly #salvaged: Salvaged;
  readonly #nodes: StoredNodes;
  readonly #lost: { path: string; problem: string }[];
  readonly #lostChunks = new Set<number>();
  /** What the store itself lost. */
  readonly #given: number;
  #losesNodes = false;

  constructor(from: RepairSource, to: KeyValue, { limits, data, lost }: RepairParts, salvaged: Salvaged) {
    this.#from = from;
    this.#to = to;
    this.#limits = limits;
    this.#data = data;
    this.#salvaged = salvaged;
    this.#nodes = new StoredNodes(from, limits);
    this.#given = lost.length;
    this.#lost = [...lost, ...salvaged.lost];
  }

  async run(): Promise<RepairReport> {
    if (this.#salvaged.superblock?.kind === 'direct' && this.#data === undefined)
      throw new ThinError(
        'damaged',
        "the link to the pool's data is gone; put it back as `data` into the folder of the pool",
      );
    if (this.#salvaged.devices.length === 0)
      throw new ThinError(
        'damaged',
        'no device record can be read, so nothing can be rebuilt; restore a backup, or a dump with thinfuse restore',
      );
    const mapped = await this.#mappedChunks();
    const remote = await this.#remote(mapped);
    const superblock = await this.#superblock(mapped);
    const here = new Set([...mapped].filter((chunk) => remote.peek(chunkId(chunk)) === undefined));
    const copied =
      this.#data === undefined
        ? await this.#copyChunks(here, superblock.blockSize)
        : await this.#copyBackings(this.#tellable(here, remote), superblock.chunks);
    const elsewhere = [...remote.all()]
      .filter(({ entry }) => remote.image(entry.image) !== undefined)
      .map(({ chunk }) => Number(chunk));
    const healthy = new Set([...copied, ...elsewhere]);
    const builder = new TreeBuilder(superblock.nodes, this.#limits);
    const devices: DeviceRecord[] = [];
    for (const record of this.#salvaged.devices)
      devices.push(await this.#rebuild(record, builder, healthy, superblock));
    for await (const [key] of this.#from.entries(rangeOf('metadata-snapshot'), { values: false }))
      this.#lost.push({ path: describeKey(key), problem: 'metadata snapshots are not taken along' });
    for (const [chunk, backing] of this.#backings)
      if (builder.chunkCounts.has(chunk))
        builder.chunkCounts.set(backing, (builder.chunkCounts.get(backing) ?? 0) + 1);
    const options = this.#salvaged.options ?? DEFAULT_POOL_OPTIONS;
    for (const { chunk } of [...remote.all()]) if (!builder.chunkCounts.has(chunk)) remote.take(chunk);
    const rebuilt = { superblock, options, devices, builder, remote };
    await this.#to.batch(await rebuiltOperations(this.#to, rebuilt), { sync: true });
    // The mappings of a lost record, or below a lost node, are unknown.
    const knowsAll = !this.#losesNodes && this.#salvaged.lost.length === 0 && this.#given === 0;
    const lostChunks = knowsAll ? this.#lostChunks : undefined;
    return { devices: devices.length, chunks: healthy.size, lost: this.#lost, lostChunks };
  }

  /** Of the chunks that are mapped: which are remote. */
  async #remote(mapped: ReadonlySet<number>): Promise<RemoteTable> {
    const remote = await readRemote(this.#from, (error, key) => {
      this.#lost.push({ path: describeKey(key), problem: error.message });
    });
    for (const { chunk } of [...remote.all()]) if (!mapped.has(chunk)) remote.take(chunk);
    return remote;
  }

  /** In a `direct` pool, chunks that may be remote, because the record of that is lost, are left out. */
  #tellable(here: ReadonlySet<number>, remote: RemoteTable): ReadonlySet<number> {
    const tellable = new Set(here);
    for (const { first, count } of remote.damaged())
      for (let chunk = first; chunk < first + count; chunk++) tellable.delete(chunk);
    return tellable;
  }

  async #mappedChunks(): Promise<ReadonlySet<number>> {
    const mapped = new Set<number>();
    for (const { id, name, root, size } of this.#salvaged.devices) {
      const end = this.#salvaged.superblock && Math.ceil(size / this.#salvaged.superblock.blockSize);
      const runs = mappingRuns(this.#nodes, root, (_node, error, from, to) => {
        this.#losesNodes = true;
        this.#lost.push({
          path: `device ${id} (${name}), blocks ${from} to ${Math.min(to, end ?? to) - 1}`,
          problem: error.message,
        });
      });
      for await (const { chunk, length } of runs) for (let i = 0; i < length; i++) mapped.add(chunk + i);
    }
    return mapped;
  }

  /** The old one, or one that what is left gives away. */
  async #superblock(mapped: ReadonlySet<number>): Promise<Superblock> {
    const { superblock, devices } = this.#salvaged;
    if (superblock !== undefined) return { ...superblock, needsCheck: false };
    const blockSize = this.#data?.blockSize ?? (await this.#blockSize());
    const most = (of: (record: DeviceRecord) => number): number =>
      devices.reduce((largest, one) => Math.max(largest, of(one)), -Infinity);
    let last = 0;
    for (const chunk of mapped) last = Math.max(last, chunk);
    return {
      uuid: this.#data?.uuid ?? randomUUID(),
      kind: this.#data === undefined ? 'leveldb' : 'direct',
      blockSize,
      chunks:
        this.#data?.chunks ??
        Math.min(MAX_CHUNKS, Math.max(Math.floor(DEFAULT_DATA_SIZE / blockSize), last + 1)),
      nodes: Math.floor(DEFAULT_METADATA_SIZE / METADATA_BLOCK_SIZE),
      time: snapTime(most((record) => record.snapTime)),
      transactionId: transactionId(most((record) => record.transactionId)),
      lastDeviceId: deviceId(most((record) => record.id)),
      needsCheck: false,
      baseUuid: '',
      lastTransaction: undefined,
    };
  }

  /** Of any chunk that is well. */
  async #blockSize(): Promise<number> {
    for await (const [key, value] of this.#from.entries(rangeOf('chunk'))) {
      const id = unpackKey('chunk', key);
      const size = id === undefined ? undefined : await chunkSizeOf(value, chunkId(id));
      if (size !== undefined) return size;
    }
    throw new ThinError(
      'damaged',
      'neither the superblock nor a chunk can be read, so that nothing tells the block size; restore a backup',
    );
  }

  /**
   * Each whole: what is partial here gets all its pages there. @returns those that are well, and now in the
   * new store
   */
  async #copyChunks(mapped: ReadonlySet<number>, blockSize: number): Promise<ReadonlySet<number>> {
    const healthy = new Set<number>();
    const { compression } = this.#salvaged.options ?? DEFAULT_POOL_OPTIONS;
    let changes: ChunkChange[] = [];
    const write = async (): Promise<void> => {
      if (changes.length > 0) await this.#to.batch(await putChanges(changes, compression), { sync: true });
      changes = [];
    };
    for (const kind of ['chunk', 'chunk-backing'] as const)
      for await (const [key, value] of this.#from.entries(rangeOf(kind))) {
        const id = unpackKey(kind, key);
        if (id === undefined || !mapped.has(id)) continue;
        const chunk = chunkId(id);
        try {
          const data =
            kind === 'chunk'
              ? await readWhole(this.#from, chunk, blockSize, pageSize(blockSize))
              : await this.#readPartial(chunk, value, blockSize);
          changes.push(copyWhole(chunk, data));
        } catch (error) {
          if (!(error instanceof ThinError)) throw error;
          this.#lost.push({ path: describeKey(key), problem: error.message });
          continue;
        }
        healthy.add(id);
        if (changes.length * blockSize >= BATCH_BYTES) await write();
      }
    await write();
    return healthy;
  }

  /**
   * Of a `direct` pool: where the rest of partial chunks lies. @returns the mapped chunks but those that this
   * is lost of
   */
  async #copyBackings(mapped: ReadonlySet<number>, chunks: number): Promise<ReadonlySet<number>> {
    const healthy = new Set(mapped);
    for (const id of mapped) {
      const key = chunkBackingKey(chunkId(id));
      if (this.#from.isLost?.(key) !== true) continue;
      this.#lost.push({
        path: describeKey(key),
        problem: 'it is unknown whether the rest of the chunk lies elsewhere',
      });
      healthy.delete(id);
    }
    const operations: KvOperation[] = [];
    for await (const [key, value] of this.#from.entries(rangeOf('chunk-backing'))) {
      const id = unpackKey('chunk-backing', key);
      if (id === undefined || !mapped.has(id)) continue;
      const path = describeKey(key);
      try {
        const { backing } = unpackChunkBacking(unseal('chunk-backing', id, value, path), path);
        if (backing >= chunks) throw damage(path, `its backing ${backing} lies beyond the end of the pool`);
        this.#backings.set(id, backing);
        operations.push({ type: 'put', key, value });
      } catch (error) {
        if (!(error instanceof ThinError)) throw error;
        this.#lost.push({ path, problem: error.message });
        healthy.delete(id);
      }
    }
    await this.#to.batch(operations, { sync: true });
    return healthy;
  }

  async #readPartial(chunk: ChunkId, record: Uint8Array, blockSize: number): Promise<Uint8Array> {
    const path = describeKey(chunkBackingKey(chunk));
    const { backing } = unpackChunkBacking(unseal('chunk-backing', chunk, record, path), path);
    return (await readPartial(this.#from, chunk, backing, blockSize, pageSize(blockSize))).data;
  }

  async #rebuild(
    record: DeviceRecord,
    builder: TreeBuilder,
    healthy: ReadonlySet<number>,
    { blockSize, chunks }: Superblock,
  ): Promise<DeviceRecord> {
    const end = Math.ceil(record.size / blockSize);
    const told = (): void => {
      // When the chunks were looked for.
    };
    for await (const { begin, chunk, length, time } of mappingRuns(this.#nodes, record.root, told))
      for (let i = 0; i < length; i++) {
        const problem =
          begin + i >= end
            ? 'it lies beyond the end of the device'
            : chunk + i >= chunks
              ? `its chunk ${chunk + i} lies beyond the end of the pool`
              : healthy.has(chunk + i)
                ? undefined
                : `its chunk ${chunk + i} is missing or damaged, and the block now reads as zeroes`;
        if (problem === undefined) {
          builder.add(begin + i, chunk + i, time);
          continue;
        }
        this.#lostChunks.add(chunk + i);
        this.#lost.push({ path: `device ${record.id} (${record.name}), block ${begin + i}`, problem });
      }
    const mapped = builder.added;
    return { ...record, mapped, exclusive: 0, root: builder.finish() };
  }
}
