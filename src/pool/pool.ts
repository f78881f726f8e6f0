import { ThinError } from '../errors/thin-error.js';
import { isHidden } from '../format/device-name.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceId, DeviceName } from '../format/ids.js';
import { rangeOf } from '../format/keys.js';
import { DeviceIo } from '../io/device-io.js';
import type { ImageFile } from '../io/image-file.js';
import type { NameWatch } from '../metadata/device-table.js';
import type { KeyValue } from '../store/key-value.js';
import { requireDeviceSize } from './create-pool.js';
import { describeDevice, describePool } from './describe.js';
import { DeviceReads } from './device-reads.js';
import type { PoolFigures } from './figures.js';
import type { DeviceInfo, PoolInfo, PoolOptions } from './info.js';
import { COMMIT_INTERVAL, DEVICES_PER_STEP } from './limits.js';
import { zeroTail } from './open-chunks.js';
import type { OpenPoolOptions } from './open-options.js';
import { openStored, type StoredPool } from './open-stored.js';
import { packOptions } from './options-record.js';
import { needsPackedFlag, requireCache, requirePackable } from './packed-flag.js';
import { PoolImages } from './pool-images.js';
import { PoolSnapshots } from './pool-snapshots.js';
import { PoolState } from './pool-state.js';
import { OpenPoolTools, type PoolCheckOptions } from './pool-tools.js';
import { requireQuota } from './quota.js';
import { replay } from './replay.js';
import { resizeCache } from './resize-cache.js';
import { requireFree, requireOrdinary, requireRecord } from './requirements.js';
import type {
  DeviceChange,
  DeviceChoice,
  MakerChange,
  PoolCheck,
  PoolCounts,
  SnapshotRequest,
  ThinPool,
  ThinRequest,
  SpaceRequest,
} from './thin-pool.js';
import { nextTurn } from './usage-counter.js';

/** Takes the store over: `close` closes it. @throws ThinError no-pool, damaged, wrong-version */
export async function openPool(store: KeyValue, options: OpenPoolOptions = {}): Promise<ThinPool> {
  const stored = await openStored(store, options);
  const zeroedFrom = await zeroTail(stored.metadata, options);
  const pool = new Pool(store, stored, { ...options, zeroedFrom });
  await pool.begin();
  if (options.watchesFiles === true) pool.watchFiles();
  return pool;
}

class Pool implements ThinPool {
  readonly tools: OpenPoolTools;
  readonly #state: PoolState;
  readonly #images: PoolImages;
  readonly #reads: DeviceReads;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #snapshots: PoolSnapshots;
  /** Devices whose last requests are being waited for. */
  readonly #leaving = new Map<DeviceId, Promise<void>>();
  readonly #hiddenActive = new Set<DeviceId>();
  /** What only devices mapped that are being removed: bytes, and those in use when the last of them was. */
  #owed = { bytes: 0, usedBytes: 0 };
  /** The last change of options, so that two at once do not undo each other. */
  #optionsWritten: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(
    store: KeyValue,
    stored: StoredPool,
    options: OpenPoolOptions & { readonly zeroedFrom: number | undefined },
  ) {
    this.#state = new PoolState(store, stored, options);
    this.#snapshots = new PoolSnapshots(this.#state);
    this.#images = new PoolImages(this.#state, options.remote);
    this.#reads = new DeviceReads(this.#state);
    this.tools = new OpenPoolTools(this.#state, options);
    for (const { message } of stored.damage) options.events?.onModeChanged?.('ro', message);
    this.#state.usage.markAll();
    const interval = options.commitInterval ?? COMMIT_INTERVAL;
    if (interval > 0) this.#timer = setInterval(() => this.#tick(), interval).unref();
  }

  /** Makes unflushed changes durable. */
  #tick(): void {
    const { mode, committer, space } = this.#state;
    if (mode === 'ro') return;
    if (committer.isDirty) this.commit().catch(() => undefined);
    else space.check();
  }

  /** Runs before the first use: replays what a dead process answered, and continues deletions. */
  async begin(): Promise<void> {
    const { log } = this.#state.plane;
    // Goes with the first batch if the flag is new: options that could not be read are the defaults.
    if (this.#state.mode === 'rw') this.#notePacking(this.#state.options);
    if (log !== undefined && log.left.length > 0 && this.#state.mode === 'rw') {
      const open = (id: DeviceId): DeviceIo => this.#open(this.#state.metadata.devices.get(id));
      if (!(await this.#replayed(open))) return;
      await this.#closeAll();
      log.release();
      await this.commit();
    }
    if (this.#state.mode !== 'rw') return;
    await this.#state.beginLog();
    this.#state.reclaimer.start();
    this.#images.start();
  }

  watchFiles(): void {
    this.#state.store.watchFiles?.((error) => {
      if (!this.#state.isClosing) this.#state.foundDamage(error);
    });
  }

  /** @returns whether a commit has to say so */
  #notePacking(options: PoolOptions): boolean {
    const { metadata } = this.#state;
    const isNew = needsPackedFlag(metadata.superblock, options);
    if (isNew) metadata.changeSuperblock({ hasPacked: true });
    return isNew;
  }

  /** False: something of it is damaged, and the pool is there to be read. */
  async #replayed(open: (id: DeviceId) => DeviceIo): Promise<boolean> {
    try {
      const { metadata, plane } = this.#state;
      await replay({ metadata, plane, open, close: () => this.#closeAll() });
      return true;
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
      this.#state.foundDamage(error);
      return false;
    }
  }

  info(): PoolInfo {
    return describePool(this.#state.metadata, {
      mode: this.#state.mode,
      options: this.#state.options,
      atHand: this.#state.plane.free.count,
      waitedEnough: this.#state.space.waitedEnough,
      lacksLog: (this.#state.plane.log?.left.length ?? 0) > 0,
    });
  }

  devices({ hidden = false }: DeviceChoice = {}): readonly DeviceInfo[] {
    return this.#state.metadata.devices.select({ hidden }).map((record) => this.#describe(record));
  }

  async *eachDevice({ hidden = false }: DeviceChoice = {}): AsyncGenerator<DeviceInfo> {
    const { devices } = this.#state.metadata;
    let step = devices.after(0, DEVICES_PER_STEP);
    while (step.length > 0) {
      // The device may have been removed, or its id reused, since the consumer took the last one.
      for (const { id } of step)
        if (devices.has(id) && isHidden(devices.get(id).name) === hidden)
          yield this.#describe(devices.get(id));
      await nextTurn();
      step = devices.after(step.at(-1)!.id, DEVICES_PER_STEP);
    }
  }

  counts(): PoolCounts {
    const { visible, deleted } = this.#state.metadata.devices.counts();
    return { devices: visible, active: this.#state.active.size - this.#hiddenActive.size, deleted };
  }

  figures(): PoolFigures {
    const { plane, host, extender } = this.#state;
    return {
      traffic: plane.traffic.totals(),
      pendingBytes: this.#pendingBytes,
      isCached: plane.chunks.memory.kind === 'cache',
      logBytes: plane.log?.used,
      host: host.figures,
      dataFree: plane.chunks.memory.kind === 'cache' ? undefined : extender.dataFree(),
      remote: this.#state.remote.figures,
    };
  }

  watch(): NameWatch {
    return this.#state.metadata.devices.watch();
  }

  has(id: DeviceId): boolean {
    return this.#state.metadata.devices.has(id);
  }

  device(name: DeviceName): DeviceInfo | undefined {
    const record = this.#state.metadata.devices.find(name);
    return record === undefined ? undefined : this.#describe(record);
  }

  lastTransaction(): ReturnType<ThinPool['lastTransaction']> {
    const last = this.#state.metadata.superblock.lastTransaction;
    // Pools of before had the names of hidden devices here.
    return last === undefined || isHidden(last.name)
      ? undefined
      : { id: last.id, name: last.name as DeviceName, device: last.device };
  }

  async createSnapshot(request: SnapshotRequest): Promise<DeviceInfo> {
    const [made] = await this.createSnapshots(request.origin, [request]);
    return made!;
  }

  async createSnapshots(
    origin: DeviceName,
    requests: readonly Omit<SnapshotRequest, 'origin'>[],
  ): Promise<readonly DeviceInfo[]> {
    this.#state.requireWritable();
    const records = await this.#snapshots.take(origin, requests);
    await this.#commitDevices(...records);
    return records.map(({ id }) => this.#describe(this.#state.metadata.devices.get(id)));
  }

  async rollback(name: DeviceName, to: DeviceName): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.#state.requireWritable();
    this.#requireInactive(record);
    const made = await this.#snapshots.replace(name, to);
    await this.#commitDevices(made, record);
    this.#state.reclaimer.start(() => this.#state.usage.markFamily(record.family));
    return this.#describe(this.#state.metadata.devices.get(made.id));
  }

  async createThin(request: ThinRequest): Promise<DeviceInfo> {
    const record = this.#snapshots.createThin(request);
    await this.#commitDevices(record);
    return this.#describe(this.#state.metadata.devices.get(record.id));
  }

  async rename(name: DeviceName, to: DeviceName, change: MakerChange = {}): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.#state.requireWritable();
    requireOrdinary(record, 'renamed');
    requireFree(this.#state.metadata.devices, to);
    this.#requireInactive(record);
    return this.#change(record.id, { name: to, ...change });
  }

  async grow(name: DeviceName, size: number): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.#state.requireWritable();
    requireDeviceSize(size, this.#state.metadata.superblock.blockSize);
    if (size < record.size)
      throw new ThinError(
        'invalid-argument',
        `device ${name} has ${record.size} bytes and cannot shrink to ${size}`,
      );
    const changed = await this.#change(record.id, { size });
    const io = this.#state.active.get(record.id);
    await io?.quiesced(() => {
      io.grow(size);
    });
    return changed;
  }

  async update(name: DeviceName, change: DeviceChange): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.#state.requireWritable();
    const { baseUuid, ...fields } = change;
    const mapped = this.#state.active.get(record.id)?.mappedChunks ?? record.mapped;
    requireQuota(name, change.quota ?? 0, mapped, this.#state.metadata.superblock.blockSize);
    if (baseUuid !== undefined) {
      this.#state.metadata.changeSuperblock({ baseUuid });
      this.#state.deviceLog.skip();
    }
    return this.#change(record.id, fields);
  }

  async remove(name: DeviceName): Promise<void> {
    const record = this.#find(name);
    this.#state.requireWritable();
    requireOrdinary(record, 'removed');
    this.#requireInactive(record);
    const usedBefore = this.#state.metadata.chunks.used;
    const owed = this.#pendingBytes + this.#describe(record).exclusive;
    this.#owed = { bytes: owed, usedBytes: this.info().dataUsed };
    this.#state.metadata.removeDevice(record.id);
    this.#state.deviceLog.removed(record);
    await this.#commitDevices(record);
    this.#state.reclaimer.start(() => {
      this.#state.usage.markFamily(record.family);
      this.#state.compactor.note(
        usedBefore - this.#state.metadata.chunks.used,
        this.#state.metadata.chunks.used,
      );
    });
  }

  setOptions(change: Partial<PoolOptions>): Promise<void> {
    const changed = this.#optionsWritten.then(async () => {
      this.#state.requireWritable();
      requirePackable(this.#state.metadata.superblock, change.compression);
      requireCache(this.#state.metadata.superblock, change.cacheSize);
      const options = { ...this.#state.options, ...change };
      if (this.#notePacking(options)) await this.commit();
      const { cacheSize } = options;
      // What waits for a commit keeps its place, and so a smaller cache large.
      if (cacheSize !== this.#state.options.cacheSize && this.#state.mode !== 'ro') await this.commit();
      if (cacheSize !== this.#state.options.cacheSize) resizeCache(this.#state, cacheSize);
      await this.#state.store.batch([packOptions(options, this.#state.metadata.superblock.uuid)], {
        sync: true,
      });
      this.#state.options = options;
      // The new options take effect now, not with the next commit.
      if (this.#state.mode !== 'ro') this.#state.space.check();
    });
    this.#optionsWritten = changed.catch(() => undefined);
    return changed;
  }

  readonly findRemote: ThinPool['findRemote'] = (request) => this.#images.find(request);
  readonly forgetRemote: ThinPool['forgetRemote'] = (note) => this.#images.forget(note);
  readonly findLayers: ThinPool['findLayers'] = (request) => this.#images.findLayers(request);
  async attachRemote(...[name, ...how]: Parameters<ThinPool['attachRemote']>): Promise<{ chunks: number }> {
    return this.#images.attach(this.#find(name), ...how);
  }

  hydrate(name: DeviceName): Promise<void> {
    return this.#images.hydrate(this.#find(name));
  }

  firstReads(name: DeviceName): readonly number[] {
    return this.#reads.of(this.#find(name));
  }

  remoteImages(): ReturnType<ThinPool['remoteImages']> {
    return this.#images.list();
  }

  async activate(name: DeviceName): Promise<ImageFile> {
    const record = this.#find(name);
    await this.#leaving.get(record.id);
    return this.#open(this.#find(name));
  }

  #open(record: DeviceRecord): DeviceIo {
    let io = this.#state.active.get(record.id);
    if (io === undefined) {
      io = new DeviceIo({
        device: record.id,
        metadata: this.#state.metadata,
        plane: this.#state.plane,
        gate: this.#state,
      });
      io.letThreadsWrite(this.#state.space.threadsMayWrite(io));
      this.#state.active.set(record.id, io);
      if (isHidden(record.name)) this.#hiddenActive.add(record.id);
    }
    return io;
  }

  async deactivate(name: DeviceName): Promise<void> {
    const record = this.#state.metadata.devices.find(name);
    const io = record === undefined ? undefined : this.#state.active.get(record.id);
    if (record === undefined || io === undefined) return;
    const left = this.#leaving.get(record.id) ?? this.#leave(record.id, io);
    await left;
    await this.#state.flushOf(io);
    this.#state.usage.markFamily(record.family);
  }

  async #closeAll(): Promise<void> {
    for (const [id, io] of [...this.#state.active]) await this.#leave(id, io);
  }

  #leave(id: DeviceId, io: DeviceIo): Promise<void> {
    const left = io
      .close()
      .then(() => this.#state.committer.applyInTurns(io))
      .then(() => {
        io.forgetMappings();
        this.#reads.leave(this.#state.metadata.devices.get(id), io.firstReads);
      })
      .finally(() => {
        // Also after a failure: the next activation gets an open file.
        this.#state.active.delete(id);
        this.#hiddenActive.delete(id);
        this.#leaving.delete(id);
      });
    this.#leaving.set(id, left);
    return left;
  }

  setPatience(name: DeviceName, patience: number | undefined): void {
    const io = this.#activeIo(name);
    if (io !== undefined) io.patience = patience;
  }

  active(name: DeviceName): ImageFile | undefined {
    return this.#activeIo(name);
  }

  #activeIo(name: DeviceName): DeviceIo | undefined {
    const record = this.#state.metadata.devices.find(name);
    return record === undefined ? undefined : this.#state.active.get(record.id);
  }

  async commit(): Promise<void> {
    await this.#state.committer.commit();
  }

  get #pendingBytes(): number {
    if (this.#state.metadata.devices.pendingCount === 0) return 0;
    const { bytes, usedBytes } = this.#owed;
    return Math.max(0, bytes - Math.max(0, usedBytes - this.info().dataUsed));
  }

  async extend(to: SpaceRequest): Promise<PoolInfo> {
    this.#state.requireWritable();
    await this.#state.extender.extend(to);
    return this.info();
  }

  async settle(): Promise<void> {
    await this.commit();
    await this.#state.reclaimer.settle();
    await this.#state.plane.recycled();
    await this.#state.space.settled();
    this.#state.usage.markAll();
    await this.#state.usage.settle();
  }

  async stored(): Promise<number | undefined> {
    const { store, metadata } = this.#state;
    if (metadata.superblock.kind === 'direct' || store.sizeOf === undefined) return undefined;
    const whole = await store.sizeOf(rangeOf('chunk'));
    return whole + (await store.sizeOf(rangeOf('chunk-patch')));
  }

  check(options: PoolCheckOptions = {}): Promise<PoolCheck> {
    return this.tools.check(options);
  }

  close(): Promise<void> {
    this.#state.isClosing = true;
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#images.stop();
    await this.#state.reclaimer.stop();
    await this.#state.usage.stop();
    await Promise.all([...this.#state.active.values()].map((io) => io.close()));
    let isStored = false;
    try {
      if (this.#state.mode !== 'ro') {
        await this.#state.committer.commit();
        isStored = true;
      }
    } finally {
      this.#state.active.clear();
      await this.#state.committer.idle();
      await this.#state.plane.recycled();
      await this.#state.plane.chunks.close();
      await this.#state.plane.log?.close(isStored ? this.#state.store : undefined);
      await this.#state.compactor.idle();
      await this.#state.store.close();
    }
  }

  #describe(record: DeviceRecord): DeviceInfo {
    return describeDevice(this.#state.metadata, record, this.#state.active.get(record.id));
  }

  async #change(id: DeviceId, change: Partial<Omit<DeviceRecord, 'id' | 'family'>>): Promise<DeviceInfo> {
    const changed = this.#state.metadata.devices.change(id, change);
    this.#state.deviceLog.changed(changed);
    await this.#commitDevices(changed);
    return this.#describe(this.#state.metadata.devices.get(id));
  }

  async #commitDevices(...records: readonly DeviceRecord[]): Promise<void> {
    await this.#state.deviceLog.durable();
    for (const { id, origin, family } of records) {
      for (const each of [id, origin]) this.#state.usage.mark(each);
      this.#state.usage.markFamily(family);
    }
    this.#state.noteDevicesChanged();
  }

  #find(name: DeviceName): DeviceRecord {
    return requireRecord(this.#state.metadata.devices, name);
  }

  #requireInactive(record: DeviceRecord): void {
    if (this.#state.active.has(record.id))
      throw new ThinError('busy', `device ${record.name} is active; umount and deactivate it first`);
  }
}
