import { ThinError, toThinError } from '../errors/thin-error.js';
import type { DeviceRecord } from '../format/device-record.js';
import { BASE_NAME } from '../format/device-name.js';
import { deviceId, type DeviceId, type DeviceName } from '../format/ids.js';
import { rangeOf } from '../format/keys.js';
import { DeviceIo } from '../io/device-io.js';
import type { ImageFile } from '../io/image-file.js';
import type { Metadata } from '../metadata/metadata.js';
import { openMetadata, type MetadataOptions } from '../metadata/open-metadata.js';
import type { ChunkStore } from '../store/chunk-store.js';
import type { KeyValue } from '../store/key-value.js';
import { LevelChunks } from '../store/level-chunks.js';
import { Committer } from './committer.js';
import { METADATA_BLOCK_SIZE, requireDeviceSize } from './create-pool.js';
import type { DeviceInfo, PoolInfo, PoolMode, PoolOptions } from './info.js';
import { CHUNK_CACHE, STAGED_BYTES, COMMIT_INTERVAL, WAIT_STEP, COMPACT_FROM } from './limits.js';
import { packOptions, readOptions } from './options-record.js';
import { OpenPoolTools, type PoolCheckOptions } from './pool-tools.js';
import { Reclaimer } from './reclaimer.js';
import type { DeviceChange, PoolCheck, PoolEvents, SnapshotRequest, ThinPool } from './thin-pool.js';
import { UsageCounter } from './usage-counter.js';

export interface OpenPoolOptions extends MetadataOptions {
  readonly events?: PoolEvents;
  /** Bytes of unchanged chunks kept in memory. */
  readonly chunkCache?: number;
  /** Staged bytes at which a commit is begun; at twice that, writers wait for it. */
  readonly stagedBytes?: number;
  /** Milliseconds between commits of what nobody flushed (dm-thin: one second); 0: only when asked. */
  readonly commitInterval?: number;
  /** Nodes of removed devices given back in one commit. */
  readonly reclaimStep?: number;
}

/** Takes the store over: `close` closes it. @throws ThinError no-pool, damaged, wrong-version */
export async function openPool(store: KeyValue, options: OpenPoolOptions = {}): Promise<ThinPool> {
  const stored = readOptions(store);
  return new Pool(store, await openMetadata(store, options), stored, options);
}

class Pool implements ThinPool {
  readonly #store: KeyValue;
  readonly #metadata: Metadata;
  readonly #chunks: ChunkStore;
  readonly #committer: Committer;
  readonly #usage: UsageCounter;
  readonly #reclaimer: Reclaimer;
  readonly #events: PoolEvents;
  readonly #stagedBytes: number;
  readonly tools: OpenPoolTools;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #active = new Map<DeviceId, DeviceIo>();
  #options: PoolOptions;
  /** The last change of options, so that two at once do not undo each other. */
  #optionsWritten: Promise<void> = Promise.resolve();
  #mode: PoolMode = 'rw';
  /** Chunks given back since the store was last compacted. */
  #freed = 0;
  #compacting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(store: KeyValue, metadata: Metadata, stored: PoolOptions, options: OpenPoolOptions) {
    this.#store = store;
    this.#metadata = metadata;
    this.#options = stored;
    this.#events = options.events ?? {};
    this.#stagedBytes = options.stagedBytes ?? STAGED_BYTES;
    this.#chunks = new LevelChunks(store, metadata.superblock.blockSize, options.chunkCache ?? CHUNK_CACHE);
    this.#committer = new Committer({
      store,
      metadata,
      chunks: this.#chunks,
      active: () => this.#active.values(),
      onApplied: (device) => {
        const { devices: table } = this.#metadata;
        if (table.familySize(device) > 1) this.#usage.markFamilyLater(table.get(device).family);
      },
      onFailed: (error) => {
        this.#setMode('ro', `a commit failed: ${error.message}`);
      },
    });
    this.#usage = new UsageCounter(metadata);
    this.#reclaimer = new Reclaimer(metadata, () => this.#committer.commit(), options.reclaimStep);
    const gate = {
      requireWritable: () => this.requireWritable(),
      commit: () => this.#committer.commit(),
      shareAll: () => {
        for (const io of this.#active.values()) this.#committer.apply(io);
        for (const io of this.#active.values()) io.noteSnapshot();
      },
      clearNeedsCheck: () => this.#clearNeedsCheck(),
      reclaim: () => this.#reclaimer.start(() => this.#usage.markAll()),
    };
    this.tools = new OpenPoolTools(store, metadata, gate, options.limits);
    if (metadata.superblock.needsCheck) this.#mode = 'ro';
    this.#usage.markAll();
    this.#reclaimer.start();
    const interval = options.commitInterval ?? COMMIT_INTERVAL;
    if (interval > 0) {
      this.#timer = setInterval(() => {
        if (this.#mode !== 'ro' && this.#committer.isDirty) this.commit().catch(() => undefined);
      }, interval);
      this.#timer.unref();
    }
  }

  info(): PoolInfo {
    const { superblock, chunks, nodes, devices, snapshots } = this.#metadata;
    return {
      kind: superblock.kind,
      uuid: superblock.uuid,
      mode: this.#mode,
      needsCheck: superblock.needsCheck,
      blockSize: superblock.blockSize,
      transactionId: superblock.transactionId,
      time: superblock.time,
      dataUsed: chunks.used * superblock.blockSize,
      dataTotal: superblock.chunks * superblock.blockSize,
      metadataUsed: nodes.used * METADATA_BLOCK_SIZE,
      metadataTotal: superblock.nodes * METADATA_BLOCK_SIZE,
      metadataBlockSize: METADATA_BLOCK_SIZE,
      lastDeviceId: superblock.lastDeviceId,
      baseDeviceUuid: superblock.baseUuid,
      baseFilesystem: devices.find(BASE_NAME)?.filesystem ?? this.#options.filesystem,
      baseSize: devices.find(BASE_NAME)?.size ?? this.#options.baseSize,
      heldRoot: snapshots.all().at(-1)?.id,
      pendingDeletes: devices.pending().length,
      options: this.#options,
    };
  }

  devices(): readonly DeviceInfo[] {
    return this.#metadata.devices.all().map((record) => this.#describe(record));
  }

  device(name: DeviceName): DeviceInfo | undefined {
    const record = this.#metadata.devices.find(name);
    return record === undefined ? undefined : this.#describe(record);
  }

  lastTransaction(): ReturnType<ThinPool['lastTransaction']> {
    const last = this.#metadata.superblock.lastTransaction;
    return last === undefined
      ? undefined
      : { id: last.id, name: last.name as DeviceName, device: last.device };
  }

  async createSnapshot(request: SnapshotRequest): Promise<DeviceInfo> {
    this.requireWritable();
    const origin = this.#find(request.origin);
    this.#requireFree(request.name);
    const size = request.size ?? origin.size;
    requireDeviceSize(size, this.#metadata.superblock.blockSize);
    if (size < origin.size)
      throw new ThinError(
        'invalid-argument',
        `${request.name} cannot be smaller (${String(size)} bytes) than its origin ${request.origin} (${String(origin.size)} bytes)`,
      );
    this.#requireFreeSpace();
    // From here to the commit nothing waits, so no request comes between the origin's last mapping and the shared root.
    const io = this.#active.get(origin.id);
    if (io !== undefined) this.#committer.apply(io);
    const record = this.#metadata.createSnapshot(origin.id, {
      name: request.name,
      kind: request.kind,
      size,
      createdAt: Date.now(),
      filesystem: origin.filesystem,
    });
    io?.noteSnapshot();
    await this.#commitDevices(record.family);
    return this.#describe(this.#metadata.devices.get(record.id));
  }

  async rename(name: DeviceName, to: DeviceName): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.requireWritable();
    this.#requireOrdinary(record, 'renamed');
    this.#requireFree(to);
    this.#requireInactive(record);
    return this.#change(record.id, { name: to });
  }

  async grow(name: DeviceName, size: number): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.requireWritable();
    requireDeviceSize(size, this.#metadata.superblock.blockSize);
    if (size < record.size)
      throw new ThinError(
        'invalid-argument',
        `device ${name} has ${String(record.size)} bytes and cannot shrink to ${String(size)}`,
      );
    const changed = await this.#change(record.id, { size });
    this.#active.get(record.id)?.grow(size);
    return changed;
  }

  async update(name: DeviceName, change: DeviceChange): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.requireWritable();
    const { baseUuid, ...fields } = change;
    if (baseUuid !== undefined) this.#metadata.changeSuperblock({ baseUuid });
    return this.#change(record.id, fields);
  }

  async remove(name: DeviceName): Promise<void> {
    const record = this.#find(name);
    this.requireWritable();
    this.#requireOrdinary(record, 'removed');
    this.#requireInactive(record);
    const usedBefore = this.#metadata.chunks.used;
    this.#metadata.removeDevice(record.id);
    await this.#commitDevices(record.family);
    this.#reclaimer.start(() => {
      this.#usage.markFamily(record.family);
      this.#noteRoom();
      this.#freed += Math.max(0, usedBefore - this.#metadata.chunks.used);
      this.#compact();
    });
  }

  setOptions(change: Partial<PoolOptions>): Promise<void> {
    const changed = this.#optionsWritten.then(async () => {
      this.requireWritable();
      const options = { ...this.#options, ...change };
      await this.#store.batch([packOptions(options)], { sync: true });
      this.#options = options;
    });
    this.#optionsWritten = changed.catch(() => undefined);
    return changed;
  }

  activate(name: DeviceName): Promise<ImageFile> {
    try {
      return Promise.resolve(this.#open(this.#find(name)));
    } catch (error) {
      return Promise.reject(toThinError(error));
    }
  }

  #open(record: DeviceRecord): DeviceIo {
    let io = this.#active.get(record.id);
    if (io === undefined) {
      io = new DeviceIo({
        device: record.id,
        metadata: this.#metadata,
        chunks: this.#chunks,
        gate: {
          requireWritable: () => {
            this.requireWritable();
          },
          throttle: () => this.#throttle(),
          changed: () => {
            if (this.#chunks.dirtyBytes >= this.#stagedBytes) this.commit().catch(() => undefined);
          },
          commit: () => this.commit(),
          pendingMappings: () => this.#pendingMappings,
          waitForSpace: (device) => this.#waitForSpace(device),
          foundDamage: (error) => {
            this.#needCheck(error);
          },
        },
      });
      this.#active.set(record.id, io);
    }
    return io;
  }

  async deactivate(name: DeviceName): Promise<void> {
    const record = this.#metadata.devices.find(name);
    const io = record === undefined ? undefined : this.#active.get(record.id);
    if (record === undefined || io === undefined) return;
    io.close();
    // At once, so that whoever activates it meanwhile gets a file that is open, and a failed commit leaves none that is shut.
    this.#committer.apply(io);
    this.#active.delete(record.id);
    await this.#committer.commit();
    this.#usage.markFamily(record.family);
  }

  active(name: DeviceName): ImageFile | undefined {
    const record = this.#metadata.devices.find(name);
    return record === undefined ? undefined : this.#active.get(record.id);
  }

  async commit(): Promise<void> {
    await this.#committer.commit();
    this.#noteRoom();
  }

  async settle(): Promise<void> {
    await this.commit();
    await this.#reclaimer.settle();
    this.#usage.markAll();
    await this.#usage.settle();
  }

  check(options: PoolCheckOptions = {}): Promise<PoolCheck> {
    return this.tools.check(options);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** @throws ThinError read-only */
  requireWritable(): void {
    if (this.#closing !== undefined) throw new ThinError('closed', 'the pool is being closed');
    if (this.#mode === 'ro')
      throw new ThinError(
        'read-only',
        'the pool is read-only after a failure; run thinfuse check, then stop and start it',
      );
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#reclaimer.stop();
    await this.#usage.stop();
    for (const io of this.#active.values()) io.close();
    try {
      if (this.#mode !== 'ro') await this.#committer.commit();
    } finally {
      this.#active.clear();
      await this.#committer.idle();
      await this.#compacting;
      await this.#store.close();
    }
  }

  #describe(record: DeviceRecord): DeviceInfo {
    const { blockSize } = this.#metadata.superblock;
    const io = this.#active.get(record.id);
    const mapped = io?.mappedChunks ?? record.mapped;
    const alone = this.#metadata.devices.familySize(record.id) === 1;
    // What no commit has counted yet was mapped by this device alone.
    const exclusive = alone
      ? mapped
      : Math.min(mapped, record.exclusive + Math.max(0, mapped - record.mapped));
    return {
      id: record.id,
      name: record.name,
      kind: record.kind,
      origin: record.origin === 0 ? undefined : record.origin,
      originName: this.#originName(record),
      size: record.size,
      mapped: mapped * blockSize,
      exclusive: exclusive * blockSize,
      shared: (mapped - exclusive) * blockSize,
      highestMapped: this.#metadata.endOfMappings(record.id) * blockSize,
      transactionId: record.transactionId,
      creationTime: record.creationTime,
      snapTime: record.snapTime,
      createdAt: record.createdAt,
      filesystem: record.filesystem,
      filesystemSize: record.filesystemSize,
      initialized: record.initialized,
      deleted: record.deleted,
      active: io !== undefined,
    };
  }

  /** Its name now, or the last one it had. */
  #originName(record: DeviceRecord): DeviceName | undefined {
    if (record.origin === 0) return undefined;
    const { devices } = this.#metadata;
    return devices.has(record.origin) ? devices.get(record.origin).name : (record.originName as DeviceName);
  }

  async #change(id: DeviceId, change: Partial<Omit<DeviceRecord, 'id' | 'family'>>): Promise<DeviceInfo> {
    const { family } = this.#metadata.devices.change(id, change);
    await this.#commitDevices(family);
    return this.#describe(this.#metadata.devices.get(id));
  }

  async #commitDevices(family: DeviceId): Promise<void> {
    await this.#committer.commit();
    this.#usage.markFamily(family);
    this.#events.onDevicesChanged?.();
  }

  #find(name: DeviceName): DeviceRecord {
    const record = this.#metadata.devices.find(name);
    if (record === undefined)
      throw new ThinError('not-found', `there is no device ${name}; thinfuse ls shows those there are`);
    return record;
  }

  /**
   * LevelDB keeps deleted chunks on disk until it rewrites the tables they are in. Asking for that costs as much as all chunks
   * that stay, so it is done when those are fewer than the ones that went.
   */
  #compact(): void {
    if (this.#freed * this.#metadata.superblock.blockSize < COMPACT_FROM) return;
    if (this.#freed < this.#metadata.chunks.used) return;
    this.#freed = 0;
    this.#compacting ??= this.#store
      .compact?.(rangeOf('chunk'))
      .catch(() => undefined)
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  #requireFree(name: DeviceName): void {
    if (this.#metadata.devices.find(name) !== undefined)
      throw new ThinError('exists', `there is a device ${name} already; remove it or choose another name`);
  }

  #requireOrdinary(record: DeviceRecord, what: string): void {
    if (record.id === deviceId(1) || record.kind === 'base')
      throw new ThinError('invalid-argument', `the base device belongs to the pool and cannot be ${what}`);
  }

  #requireInactive(record: DeviceRecord): void {
    if (this.#active.has(record.id))
      throw new ThinError('busy', `device ${record.name} is active; umount and deactivate it first`);
  }

  /** Docker's poolHasFreeSpace: only where devices are made, data and metadata apart. */
  #requireFreeSpace(): void {
    const { chunks, nodes } = this.#metadata;
    for (const [map, what] of [
      [chunks, 'data'],
      [nodes, 'metadata'],
    ] as const) {
      const least = Math.floor((map.limit * this.#options.minFreeSpace) / 100);
      const free = map.limit - map.used;
      if (free < least)
        throw new ThinError(
          'no-space',
          `the pool has ${String(free)} free ${what} blocks, fewer than the ${String(least)} that dm.min_free_space=${String(this.#options.minFreeSpace)}% keeps; remove devices or lower dm.min_free_space`,
        );
    }
  }

  get #pendingMappings(): number {
    let pending = 0;
    for (const io of this.#active.values()) pending += io.pendingMappings;
    return pending;
  }

  #throttle(): Promise<void> | undefined {
    return this.#chunks.dirtyBytes >= 2 * this.#stagedBytes ? this.#committer.commit() : undefined;
  }

  async #waitForSpace(device: string): Promise<void> {
    // What was freed in the open transaction comes back with its commit, also what active devices have only just discarded.
    if (this.#metadata.chunks.awaitingRelease > 0 || this.#pendingMappings > 0) {
      await this.commit();
      if (this.#metadata.chunks.available > 0) return;
    }
    this.#setMode('out_of_data_space', `no free chunk for device ${device}`);
    const { errorIfNoSpace, noSpaceTimeout } = this.#options;
    const until = noSpaceTimeout === 0 ? Infinity : Date.now() + noSpaceTimeout * 1000;
    while (!errorIfNoSpace && Date.now() < until && this.#closing === undefined) {
      await new Promise((resolve) => setTimeout(resolve, WAIT_STEP));
      if (this.#metadata.chunks.available > 0 && this.#metadata.hasNodesFor(1)) {
        this.#setMode('rw', 'there is room again');
        return;
      }
    }
    throw new ThinError(
      'no-space',
      `the pool is full; device ${device} cannot be written to until space is freed`,
    );
  }

  /** After a commit: what it released may be what a full pool lacked (dm-thin.c, `check_for_data_space`). */
  #noteRoom(): void {
    if (
      this.#mode === 'out_of_data_space' &&
      this.#metadata.chunks.available > 0 &&
      this.#metadata.hasNodesFor(1)
    )
      this.#setMode('rw', 'there is room again');
  }

  /** No more writes until a check has found the metadata sound; what was taken in before is still committed. */
  #needCheck(error: ThinError): void {
    if (this.#metadata.superblock.needsCheck) return;
    this.#metadata.changeSuperblock({ needsCheck: true });
    this.#setMode('ro', error.message);
    this.#committer.commit().catch(() => undefined);
  }

  async #clearNeedsCheck(): Promise<void> {
    if (!this.#metadata.superblock.needsCheck || this.#closing !== undefined) return;
    this.#metadata.changeSuperblock({ needsCheck: false });
    await this.#committer.commit();
    this.#mode = 'rw';
    this.#events.onModeChanged?.('rw', 'a check found the metadata sound');
  }

  #setMode(mode: PoolMode, reason: string): void {
    if (this.#mode === mode || this.#mode === 'ro') return;
    this.#mode = mode;
    this.#events.onModeChanged?.(mode, reason);
  }
}
