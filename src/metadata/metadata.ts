import {
  entries,
  insert,
  lastKey,
  lookup,
  nextGap,
  nextKey,
  remove,
  unsharedLeaves,
  createTree,
} from '../btree/mapping-tree.js';
import { readAhead } from '../btree/read-ahead.js';
import { ThinError } from '../errors/thin-error.js';
import { isHidden } from '../format/device-name.js';
import { NO_LABELS } from '../format/device-properties.js';
import type { DeviceRecord } from '../format/device-record.js';
import {
  chunkId,
  deviceId,
  snapTime,
  transactionId,
  virtualBlock,
  type ChunkId,
  type DeviceId,
  type VirtualBlock,
} from '../format/ids.js';
import { chunkMapKey, nodeMapKey, superblockKey } from '../format/keys.js';
import { seal } from '../format/seal.js';
import { sealSuperblock, type PoolTotals, type Superblock } from '../format/superblock.js';
import type { KvOperation } from '../store/key-value.js';
import type { BackingTable } from './backing-table.js';
import type { MetadataCommit } from './commit.js';
import type { DeviceTable } from './device-table.js';
import type { NodeTable } from './node-table.js';
import type { RemoteTable } from './remote-table.js';
import type { HeldRoots } from './held-roots.js';
import { Holds } from './holds.js';
import type { SpaceMap } from './space-map.js';

export interface Mapping {
  readonly block: VirtualBlock;
  readonly chunk: ChunkId;
  /** Something else refers to the chunk too, so a write must break the sharing. */
  readonly shared: boolean;
}

/** Bytes are 0 or undefined where there is no bound. Content undefined: the origin's, or `rootfs`. */
export type NewDevice = Pick<DeviceRecord, 'name' | 'kind' | 'size' | 'createdAt' | 'filesystem'> & {
  readonly [Field in Optional]?: DeviceRecord[Field] | undefined;
};

type Optional = 'label' | 'quota' | 'maker' | 'limit' | 'content' | 'labels';

/**
 * Splits and copies of the upper levels; below them, one change costs a copied leaf, its split, and as much
 * above it.
 */
const NODES_IN_RESERVE = 16;

/**
 * The open transaction over the pool's metadata (drivers/md/dm-thin-metadata.c): devices, mappings, counts.
 * All changes are made in memory and at once; `collect` takes them out as one batch. Nothing here waits for
 * anything but a node that is not cached.
 */
export class Metadata {
  readonly chunks: SpaceMap;
  readonly nodes: SpaceMap;
  readonly devices: DeviceTable;
  readonly heldRoots: HeldRoots;
  readonly holds: Holds;
  readonly backings: BackingTable;
  readonly remote: RemoteTable;
  readonly #table: NodeTable;
  /** One past the last mapped block, for devices that a caller asked about since the pool was opened. */
  readonly #ends = new Map<DeviceId, number>();
  #superblock: Superblock;
  #superblockDirty = false;

  constructor(parts: {
    superblock: Superblock;
    chunks: SpaceMap;
    nodes: SpaceMap;
    devices: DeviceTable;
    heldRoots: HeldRoots;
    backings: BackingTable;
    remote: RemoteTable;
    table: NodeTable;
  }) {
    this.#superblock = parts.superblock;
    this.chunks = parts.chunks;
    this.nodes = parts.nodes;
    this.devices = parts.devices;
    this.heldRoots = parts.heldRoots;
    this.backings = parts.backings;
    this.remote = parts.remote;
    this.#table = parts.table;
    this.holds = new Holds(parts);
  }

  get superblock(): Superblock {
    return this.#superblock;
  }

  get isDirty(): boolean {
    return (
      this.#superblockDirty ||
      this.devices.isDirty ||
      this.heldRoots.isDirty ||
      this.backings.isDirty ||
      this.remote.isDirty ||
      this.#table.isDirty
    );
  }

  changeSuperblock(change: Partial<Superblock>): void {
    this.#superblock = { ...this.#superblock, ...change };
    this.#superblockDirty = true;
  }

  /** It is marked so in the store already. */
  noteNeedsCheck(): void {
    this.#superblock = { ...this.#superblock, needsCheck: true };
  }

  /** From the next commit on, programs that do not know the log refuse the pool. */
  noteLog(): void {
    if (this.#superblock.hasLog !== true) this.changeSuperblock({ hasLog: true });
  }

  /** An empty device, dm-thin's create_thin. @throws ThinError no-space */
  createThin(device: NewDevice): DeviceRecord {
    this.#requireNodes();
    const root = createTree(this.#table);
    const id = this.#nextDeviceId();
    this.#ends.set(id, 0);
    return this.#add(id, {
      ...device,
      origin: deviceId(0),
      originName: '',
      root,
      mapped: 0,
      filesystemSize: device.size,
      initialized: false,
      family: id,
      exclusive: 0,
    });
  }

  /**
   * Shares the origin's root and moves the clock on: O(1) (dm-thin-metadata.c, `__create_snap`). Whatever is
   * mapped in the origin is shared from now on. @throws ThinError no-space
   */
  createSnapshot(
    origin: DeviceId,
    { originLabel, ...device }: NewDevice & { readonly originLabel?: string | undefined },
  ): DeviceRecord {
    this.#requireNodes();
    const from = this.devices.get(origin);
    const id = this.#nextDeviceId();
    this.#table.share(from.root);
    const end = this.#ends.get(origin);
    if (end !== undefined) this.#ends.set(id, end);
    const time = snapTime(this.#superblock.time + 1);
    this.changeSuperblock({ time });
    this.devices.change(origin, { snapTime: time, exclusive: 0, label: originLabel ?? from.label });
    return this.#add(id, {
      ...device,
      content: device.content ?? from.content,
      origin,
      originName: from.name,
      root: from.root,
      mapped: from.mapped,
      filesystemSize: from.filesystemSize,
      initialized: false,
      family: from.family,
      exclusive: 0,
    });
  }

  /** O(1): what the device held is given back by `deleteStep`. */
  removeDevice(id: DeviceId): void {
    const record = this.devices.get(id);
    this.devices.remove(id);
    this.#ends.delete(id);
    this.#stamp(id, record.name);
  }

  /** Space is to be given back. */
  get owesSpace(): boolean {
    return this.devices.pendingCount > 0 || this.heldRoots.owing > 0;
  }

  lookup(id: DeviceId, block: VirtualBlock): ChunkId | undefined {
    const found = lookup(this.#table, this.devices.get(id).root, block);
    return found === undefined ? undefined : chunkId(found.a);
  }

  /** Ascending mappings of blocks in [from, to). */
  *mappings(id: DeviceId, from: number, to: number): Generator<Mapping> {
    this.holds.touch(id);
    for (const entry of entries(this.#table, this.devices.get(id).root, from, to))
      yield {
        block: virtualBlock(entry.key),
        chunk: chunkId(entry.a),
        shared: entry.shared || this.chunks.count(entry.a) > 1 || this.chunks.wasShared(entry.a),
      };
  }

  /** Before `mappings` of blocks in [from, to): `readAhead` (btree/read-ahead.ts). */
  readAhead(id: DeviceId, from: number, to: number): Promise<void> | undefined {
    return readAhead(this.#table, this.devices.get(id).root, from, to);
  }

  /** The first block in [from, to) that is mapped; undefined where none is. */
  nextMapped(id: DeviceId, from: number, to = Infinity): number | undefined {
    return nextKey(this.#table, this.devices.get(id).root, from, to);
  }

  /**
   * The first block in [from, to) that is not mapped, or `to`. Costs as much as there are mapped ones before
   * it.
   */
  nextUnmapped(id: DeviceId, from: number, to: number): number {
    return nextGap(this.#table, this.devices.get(id).root, from, to);
  }

  /**
   * One past the last mapped block; 0 in an empty device, and in one with a damaged tree there. A reader of
   * the device gets the error. The first call for a device goes down its tree, and later ones only after that
   * block was unmapped.
   */
  endOfMappings(id: DeviceId): number {
    const known = this.#ends.get(id);
    if (known !== undefined) return known;
    try {
      const last = lastKey(this.#table, this.devices.get(id).root);
      const end = last === undefined ? 0 : last + 1;
      this.#ends.set(id, end);
      return end;
    } catch (error) {
      if (error instanceof ThinError && error.code === 'damaged') return 0;
      throw error;
    }
  }

  /** Maps the block to a chunk that was taken from the space map: a provision, or the end of a sharing. */
  map(id: DeviceId, block: VirtualBlock, chunk: ChunkId): void {
    this.holds.touch(id);
    const record = this.devices.get(id);
    const { root, previous } = insert(this.#table, record.root, block, chunk, this.#superblock.time);
    if (previous?.a === chunk) {
      this.devices.change(id, { root });
      return;
    }
    this.chunks.increment(chunk);
    if (block >= (this.#ends.get(id) ?? Infinity)) this.#ends.set(id, block + 1);
    let { mapped, exclusive } = record;
    exclusive++;
    if (previous === undefined) mapped++;
    else if (this.chunks.decrement(previous.a) === 0) exclusive--;
    this.devices.change(id, { root, mapped, exclusive: Math.min(exclusive, mapped) });
  }

  unmap(id: DeviceId, block: VirtualBlock): void {
    this.holds.touch(id);
    const record = this.devices.get(id);
    const { root, previous } = remove(this.#table, record.root, block);
    if (previous === undefined) return;
    if (this.#ends.get(id) === block + 1) this.#ends.delete(id);
    const mapped = record.mapped - 1;
    const freed = this.chunks.decrement(previous.a) === 0;
    const exclusive = Math.min(mapped, Math.max(0, record.exclusive - (freed ? 1 : 0)));
    this.devices.change(id, { root, mapped, exclusive });
  }

  /**
   * The chunk, which is about to be mapped, is partial: the rest of it is the backing's, which is mapped,
   * whole, and never changes as long as this holds.
   */
  makePartial(chunk: ChunkId, backing: ChunkId): void {
    this.backings.add(chunk, backing);
    this.chunks.increment(backing);
  }

  /** The chunk has all of its pages itself from now on. */
  makeWhole(chunk: ChunkId): void {
    const backing = this.backings.take(chunk);
    if (backing !== undefined) this.chunks.decrement(backing);
  }

  /**
   * In the same transaction: releases the backings of partial chunks that were freed, and forgets that freed
   * remote chunks are remote.
   */
  releaseFreed(): void {
    for (const chunk of this.chunks.freed) {
      this.makeWhole(chunkId(chunk));
      this.remote.take(chunkId(chunk));
    }
  }

  /** Whether `changes` more `map` or `unmap` calls are sure to find the nodes they may need. */
  hasNodesFor(changes: number): boolean {
    return this.nodes.available >= NODES_IN_RESERVE + 4 * changes;
  }

  /**
   * Whether one more `unmap` is sure to, beside so many `map` and `unmap` calls: it splits nothing, and may
   * use half of the reserve.
   */
  hasNodesToUnmap(beside: number): boolean {
    return this.nodes.available >= NODES_IN_RESERVE / 2 + 4 * beside + 2;
  }

  /**
   * Gives back at most `nodes` nodes of removed devices and of metadata snapshots, with the chunks that only
   * they held.
   * @returns whether there is more to do
   */
  deleteStep(nodes: number): boolean {
    const pending = this.devices.firstPending();
    if (pending === undefined) {
      this.holds.giveBack();
      return this.owesSpace;
    }
    const stack = [...pending.stack];
    for (let left = nodes; left > 0 && stack.length > 0; left--)
      stack.push(...this.#table.release(stack.pop()!));
    this.devices.progress(pending.id, stack);
    return this.owesSpace;
  }

  /**
   * Counts chunks that only this device maps, from block `from` on, through at most `most` leaves; leaves
   * that are shared cost nothing. `next` is where to go on, undefined at the end; `leaves` is what it took.
   */
  countExclusive(
    id: DeviceId,
    from: number,
    most: number,
  ): { count: number; next: number | undefined; leaves: number } {
    this.holds.touch(id);
    let count = 0;
    let leaves = 0;
    for (const leaf of unsharedLeaves(this.#table, this.devices.get(id).root, from)) {
      for (let i = Math.max(leaf.floor(from - 1) + 1, 0); i < leaf.count; i++)
        if (this.chunks.count(leaf.a[i]!) === 1) count++;
      if (++leaves >= most && leaf.count > 0) return { count, next: leaf.keys[leaf.count - 1]! + 1, leaves };
    }
    return { count, next: undefined, leaves };
  }

  /** Everything changed since the last call, as one batch. */
  collect(): MetadataCommit {
    this.holds.flush();
    const nodes = this.#table.collect();
    const devices = this.devices.collect();
    const heldRoots = this.heldRoots.collect();
    const backings = this.backings.collect();
    const remote = this.remote.collect();
    const parts = [nodes, devices, heldRoots, backings, remote];
    const operations: KvOperation[] = parts.flatMap((part) => part.operations);
    const chunkSheets = this.#collectSheets(this.chunks, 'chunk-map-sheet', operations);
    const nodeSheets = this.#collectSheets(this.nodes, 'node-map-sheet', operations);
    const freedChunks = this.chunks.takeFreed().map(chunkId);
    const freedNodes = this.nodes.takeFreed();
    this.chunks.takeLowered();
    const superblock = this.#superblockDirty || operations.length > 0;
    if (superblock)
      operations.push({
        type: 'put',
        key: superblockKey,
        value: sealSuperblock({
          ...this.#superblock,
          totals: this.#totals,
          remoteChunks: this.remote.total,
        }),
      });
    this.#superblockDirty = false;
    return {
      operations,
      freedChunks,
      settle: () => {
        nodes.settle();
        heldRoots.settle();
        this.chunks.settleLowered();
        this.nodes.release(freedNodes);
      },
      undo: () => {
        nodes.undo();
        devices.undo();
        heldRoots.undo();
        backings.undo();
        remote.undo();
        this.chunks.keepDirty(chunkSheets);
        this.nodes.keepDirty(nodeSheets);
        this.chunks.keepFreed(freedChunks);
        this.nodes.keepFreed(freedNodes);
        this.#superblockDirty ||= superblock;
      },
    };
  }

  #collectSheets(
    map: SpaceMap,
    kind: 'chunk-map-sheet' | 'node-map-sheet',
    operations: KvOperation[],
  ): readonly number[] {
    const sheets = map.takeDirty();
    for (const sheet of sheets) {
      const key = kind === 'chunk-map-sheet' ? chunkMapKey(sheet) : nodeMapKey(sheet);
      const body = map.packSheet(sheet);
      operations.push(
        body === undefined ? { type: 'del', key } : { type: 'put', key, value: seal(kind, sheet, body) },
      );
    }
    return sheets;
  }

  get #totals(): PoolTotals {
    return { devices: this.devices.count, chunks: this.chunks.counted, nodes: this.nodes.counted };
  }

  #requireNodes(): void {
    if (!this.hasNodesFor(1))
      throw new ThinError(
        'no-space',
        "the pool's metadata space is used up; remove devices to get some back",
      );
  }

  #nextDeviceId(): DeviceId {
    const id = this.devices.unusedId(this.#superblock.lastDeviceId);
    if (id === undefined) throw new ThinError('no-space', 'all 16777215 device numbers are given out');
    return id;
  }

  #add(
    id: DeviceId,
    fields: Omit<
      DeviceRecord,
      'id' | 'transactionId' | 'creationTime' | 'snapTime' | 'deleted' | 'automount' | Optional
    > &
      Pick<NewDevice, Optional>,
  ): DeviceRecord {
    this.#stamp(id, fields.name);
    const { time, transactionId: transaction } = this.#superblock;
    const record: DeviceRecord = {
      ...fields,
      id,
      transactionId: transaction,
      creationTime: time,
      snapTime: time,
      deleted: false,
      label: fields.label ?? '',
      quota: fields.quota ?? 0,
      maker: fields.maker ?? '',
      limit: fields.limit ?? 0,
      content: fields.content ?? 'rootfs',
      automount: undefined,
      labels: fields.labels ?? NO_LABELS,
    };
    this.devices.add(record);
    this.changeSuperblock({ lastDeviceId: id });
    return record;
  }

  /**
   * Opens the next transaction, as Docker's driver did for each device created or deleted. One of a device
   * that users do not see goes by the name of the last that they do.
   */
  #stamp(device: DeviceId, name: string): void {
    const id = transactionId(this.#superblock.transactionId + 1);
    const last = isHidden(name) ? this.#superblock.lastTransaction : { device, name };
    this.changeSuperblock({ transactionId: id, lastTransaction: last && { ...last, id } });
  }
}
