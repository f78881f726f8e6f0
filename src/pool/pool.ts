import { ThinError } from '../errors/thin-error.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceId, DeviceName } from '../format/ids.js';
import { DataPlane } from '../io/data-plane.js';
import { DeviceIo } from '../io/device-io.js';
import type { ImageFile } from '../io/image-file.js';
import type { Metadata } from '../metadata/metadata.js';
import { RequestEpochs } from '../shared/request-epochs.js';
import type { KeyValue } from '../store/key-value.js';
import { Committer } from './committer.js';
import { Compactor } from './compactor.js';
import { requireDeviceSize } from './create-pool.js';
import type { Extender } from './extender.js';
import { describeDevice, describePool } from './describe.js';
import type { DeviceInfo, PoolInfo, PoolMode, PoolOptions } from './info.js';
import { COMMIT_INTERVAL } from './limits.js';
import { openChunks, zeroTail } from './open-chunks.js';
import type { OpenPoolOptions } from './open-options.js';
import { openStored, type StoredPool } from './open-stored.js';
import { packOptions } from './options-record.js';
import { OpenPoolTools, type PoolCheckOptions } from './pool-tools.js';
import { requireQuota } from './quota.js';
import { PageTables } from './page-tables.js';
import { Reclaimer } from './reclaimer.js';
import { replay } from './replay.js';
import { requireFree, requireOrdinary, requireRecord } from './requirements.js';
import { openSpace } from './open-space.js';
import type { SpacePolicy } from './space-policy.js';
import { suspended } from './suspend.js';
import type {
  DeviceChange,
  MakerChange,
  PoolCheck,
  PoolEvents,
  SnapshotRequest,
  ThinPool,
  ThinRequest,
  SpaceRequest,
} from './thin-pool.js';
import { UsageCounter } from './usage-counter.js';

/** Takes the store over: `close` closes it. @throws ThinError no-pool, damaged, wrong-version */
export async function openPool(store: KeyValue, options: OpenPoolOptions = {}): Promise<ThinPool> {
  const stored = await openStored(store, options);
  const zeroedFrom = await zeroTail(stored.metadata, options);
  const pool = new Pool(store, stored, { ...options, zeroedFrom });
  await pool.begin();
  return pool;
}

class Pool implements ThinPool {
  readonly #store: KeyValue;
  readonly #metadata: Metadata;
  readonly #plane: DataPlane;
  readonly #extender: Extender;
  readonly #space: SpacePolicy;
  readonly #committer: Committer;
  readonly #pageTables: PageTables;
  readonly #usage: UsageCounter;
  readonly #reclaimer: Reclaimer;
  readonly #compactor: Compactor;
  readonly #events: PoolEvents;
  readonly tools: OpenPoolTools;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #active = new Map<DeviceId, DeviceIo>();
  /** Devices whose last requests are being waited for. */
  readonly #leaving = new Map<DeviceId, Promise<void>>();
  #options: PoolOptions;
  /** The last change of options, so that two at once do not undo each other. */
  #optionsWritten: Promise<void> = Promise.resolve();
  #mode: PoolMode = 'rw';
  #closing: Promise<void> | undefined;

  constructor(
    store: KeyValue,
    { metadata, options: stored, damage }: StoredPool,
    options: OpenPoolOptions & { zeroedFrom: number | undefined },
  ) {
    this.#store = store;
    this.#metadata = metadata;
    this.#options = stored;
    this.#events = options.events ?? {};
    this.#committer = new Committer({
      store,
      metadata,
      plane: () => this.#plane,
      active: () => this.#active.values(),
      onApplied: (device) => {
        const { devices: table } = this.#metadata;
        if (table.familySize(device) > 1) this.#usage.markFamilyLater(table.get(device).family);
      },
      onFailed: (error) => {
        this.#setMode('ro', `a commit failed: ${error.message}`);
      },
      onNoSpace: () => {
        this.#space.noteHostFull();
      },
      onCommitted: () => {
        this.#space.check();
      },
      suspended: (work) => suspended(this.#active.values(), work),
      applyStep: options.applyStep,
    });
    this.#pageTables = new PageTables(() => this.#active.values(), this.#committer);
    const commit = (): Promise<void> => this.commit();
    const epochs = new RequestEpochs();
    this.#plane = new DataPlane({
      chunks: openChunks(store, metadata, options, { epochs, commit, zeroedFrom: options.zeroedFrom }),
      metadata,
      epochs,
      journal: options.journal,
      pendingMappings: () => this.#pendingMappings,
      onReleased: () => {
        this.#space.noteRoom();
      },
      commit,
      mayTake: () => this.#space.mayTake,
      onRefilled: () => {
        this.#space.noteUse();
      },
      tablePages: options.tablePages,
      searchStep: options.searchStep,
    });
    const pool = {
      options: () => this.#options,
      mode: () => this.#mode,
      setMode: (mode: PoolMode, reason: string) => {
        this.#setMode(mode, reason);
      },
      pendingMappings: () => this.#pendingMappings,
      commit,
      isClosing: () => this.#closing !== undefined,
      active: () => this.#active.values(),
    };
    const space = openSpace({ plane: this.#plane, metadata, pool }, options, (event) => {
      this.#events.onSpace?.(event);
    });
    this.#space = space.policy;
    this.#extender = space.extender;
    this.#compactor = new Compactor(store, metadata.superblock);
    this.#usage = new UsageCounter(metadata);
    this.#reclaimer = new Reclaimer(metadata, this.#plane.chunks, commit, options.reclaimStep);
    const gate = {
      requireWritable: () => this.requireWritable(),
      commit: () => this.#committer.commit(),
      sharing: <T>(work: () => T) => this.#sharing(work),
      clearNeedsCheck: () => this.#clearNeedsCheck(),
      foundDamage: (error: ThinError) => this.#needCheck(error),
      reclaim: () => this.#reclaimer.start(() => this.#usage.markAll()),
    };
    this.tools = new OpenPoolTools(store, metadata, gate, options);
    if (metadata.superblock.needsCheck) this.#mode = 'ro';
    for (const { message } of damage) this.#events.onModeChanged?.('ro', message);
    this.#usage.markAll();
    const interval = options.commitInterval ?? COMMIT_INTERVAL;
    if (interval > 0) {
      this.#timer = setInterval(() => {
        if (this.#mode === 'ro') return;
        if (this.#committer.isDirty) this.commit().catch(() => undefined);
        else this.#space.check();
      }, interval);
      this.#timer.unref();
    }
  }

  /** Before anybody uses it: does again what a process answered that died, and goes on with what is being removed. */
  async begin(): Promise<void> {
    const { journal } = this.#plane;
    if (journal !== undefined && journal.left.length > 0) {
      this.requireWritable();
      const open = (id: DeviceId): DeviceIo => this.#open(this.#metadata.devices.get(id));
      await replay({ metadata: this.#metadata, plane: this.#plane, open });
      journal.release();
      await this.commit();
      for (const record of this.#metadata.devices.all()) await this.deactivate(record.name);
    }
    if (this.#mode === 'rw') this.#reclaimer.start();
  }

  info(): PoolInfo {
    return describePool(this.#metadata, {
      mode: this.#mode,
      options: this.#options,
      atHand: this.#plane.free.count,
    });
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
    const io = this.#active.get(this.#find(request.origin).id);
    const record =
      io === undefined
        ? this.#snapshot(request)
        : await this.#committer.applied(io, () => this.#snapshot(request, io));
    await this.#commitDevices(record.family);
    return this.#describe(this.#metadata.devices.get(record.id));
  }

  /** Waits for nothing, so that no request comes between the origin's last mapping and the shared root. */
  #snapshot(request: SnapshotRequest, io?: DeviceIo): DeviceRecord {
    this.requireWritable();
    const origin = this.#find(request.origin);
    requireFree(this.#metadata.devices, request.name);
    const size = request.size ?? origin.size;
    requireDeviceSize(size, this.#metadata.superblock.blockSize);
    if (size < origin.size)
      throw new ThinError(
        'invalid-argument',
        `${request.name} cannot be smaller (${String(size)} bytes) than its origin ${request.origin} (${String(origin.size)} bytes)`,
      );
    this.#space.requireFreeSpace();
    const quota = request.quota ?? 0;
    requireQuota(request.name, quota, io?.mappedChunks ?? origin.mapped, this.#metadata.superblock.blockSize);
    const record = this.#metadata.createSnapshot(origin.id, {
      name: request.name,
      kind: request.kind,
      size,
      createdAt: Date.now(),
      filesystem: origin.filesystem,
      label: request.label,
      quota,
      maker: request.maker,
      originLabel: request.originLabel,
    });
    io?.forgetMappings();
    return record;
  }

  async #sharing<T>(work: () => T): Promise<T> {
    for (const io of this.#active.values()) await this.#committer.applyInTurns(io);
    return suspended(this.#active.values(), (active) => {
      this.requireWritable();
      for (const io of active) this.#committer.apply(io);
      const result = work();
      for (const io of active) io.forgetMappings();
      return result;
    });
  }

  async createThin(request: ThinRequest): Promise<DeviceInfo> {
    this.requireWritable();
    requireFree(this.#metadata.devices, request.name);
    requireDeviceSize(request.size, this.#metadata.superblock.blockSize);
    this.#space.requireFreeSpace();
    const { id, family } = this.#metadata.createThin({ ...request, createdAt: Date.now() });
    await this.#commitDevices(family);
    return this.#describe(this.#metadata.devices.get(id));
  }

  async rename(name: DeviceName, to: DeviceName, change: MakerChange = {}): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.requireWritable();
    requireOrdinary(record, 'renamed');
    requireFree(this.#metadata.devices, to);
    this.#requireInactive(record);
    return this.#change(record.id, { name: to, ...change });
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
    const io = this.#active.get(record.id);
    await io?.quiesced(() => {
      io.grow(size);
    });
    return changed;
  }

  async update(name: DeviceName, change: DeviceChange): Promise<DeviceInfo> {
    const record = this.#find(name);
    this.requireWritable();
    const { baseUuid, ...fields } = change;
    const mapped = this.#active.get(record.id)?.mappedChunks ?? record.mapped;
    requireQuota(name, change.quota ?? 0, mapped, this.#metadata.superblock.blockSize);
    if (baseUuid !== undefined) this.#metadata.changeSuperblock({ baseUuid });
    return this.#change(record.id, fields);
  }

  async remove(name: DeviceName): Promise<void> {
    const record = this.#find(name);
    this.requireWritable();
    requireOrdinary(record, 'removed');
    this.#requireInactive(record);
    const usedBefore = this.#metadata.chunks.used;
    this.#metadata.removeDevice(record.id);
    await this.#commitDevices(record.family);
    this.#reclaimer.start(() => {
      this.#usage.markFamily(record.family);
      this.#compactor.note(usedBefore - this.#metadata.chunks.used, this.#metadata.chunks.used);
    });
  }

  setOptions(change: Partial<PoolOptions>): Promise<void> {
    const changed = this.#optionsWritten.then(async () => {
      this.requireWritable();
      const options = { ...this.#options, ...change };
      await this.#store.batch([packOptions(options, this.#metadata.superblock.uuid)], { sync: true });
      this.#options = options;
    });
    this.#optionsWritten = changed.catch(() => undefined);
    return changed;
  }

  async activate(name: DeviceName): Promise<ImageFile> {
    const record = this.#find(name);
    await this.#leaving.get(record.id);
    return this.#open(this.#find(name));
  }

  #open(record: DeviceRecord): DeviceIo {
    let io = this.#active.get(record.id);
    if (io === undefined) {
      io = new DeviceIo({
        device: record.id,
        metadata: this.#metadata,
        plane: this.#plane,
        gate: {
          requireWritable: () => this.requireWritable(),
          changed: () => {
            if (this.#plane.wantsCommit) this.commit().catch(() => undefined);
          },
          commit: () => this.commit(),
          waitForSpace: (device) => this.#space.waitForSpace(device),
          waitForNodes: (device) => this.#space.waitForNodes(device),
          waitForPages: () => this.#pageTables.makeRoom(),
          admit: (device, offset, length) => this.#space.admit(device, offset, length),
          foundDamage: (error) => this.#needCheck(error),
        },
      });
      io.letThreadsWrite(this.#space.threadsMayWrite(io));
      this.#active.set(record.id, io);
    }
    return io;
  }

  async deactivate(name: DeviceName): Promise<void> {
    const record = this.#metadata.devices.find(name);
    const io = record === undefined ? undefined : this.#active.get(record.id);
    if (record === undefined || io === undefined) return;
    const left = this.#leaving.get(record.id) ?? this.#leave(record.id, io);
    await left;
    await this.#committer.commit();
    this.#usage.markFamily(record.family);
  }

  #leave(id: DeviceId, io: DeviceIo): Promise<void> {
    const left = io
      .close()
      .then(() => this.#committer.applyInTurns(io))
      .then(() => {
        io.forgetMappings();
      })
      .finally(() => {
        // Whatever became of it: whoever activates it next gets a file that is open.
        this.#active.delete(id);
        this.#leaving.delete(id);
      });
    this.#leaving.set(id, left);
    return left;
  }

  active(name: DeviceName): ImageFile | undefined {
    const record = this.#metadata.devices.find(name);
    return record === undefined ? undefined : this.#active.get(record.id);
  }

  async commit(): Promise<void> {
    await this.#committer.commit();
  }

  async extend(to: SpaceRequest): Promise<PoolInfo> {
    this.requireWritable();
    await this.#extender.extend(to);
    return this.info();
  }

  async settle(): Promise<void> {
    await this.commit();
    await this.#reclaimer.settle();
    await this.#plane.recycled();
    await this.#space.settled();
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
    await Promise.all([...this.#active.values()].map((io) => io.close()));
    try {
      if (this.#mode !== 'ro') await this.#committer.commit();
    } finally {
      this.#active.clear();
      await this.#committer.idle();
      await this.#plane.recycled();
      await this.#plane.chunks.close();
      await this.#plane.journal?.close();
      await this.#compactor.idle();
      await this.#store.close();
    }
  }

  #describe(record: DeviceRecord): DeviceInfo {
    return describeDevice(this.#metadata, record, this.#active.get(record.id));
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
    return requireRecord(this.#metadata.devices, name);
  }

  #requireInactive(record: DeviceRecord): void {
    if (this.#active.has(record.id))
      throw new ThinError('busy', `device ${record.name} is active; umount and deactivate it first`);
  }

  get #pendingMappings(): number {
    let pending = 0;
    for (const io of this.#active.values()) pending += io.pendingMappings;
    return pending;
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
    this.#space.noteUse();
    this.#reclaimer.start();
    this.#events.onModeChanged?.('rw', 'a check found the metadata sound');
  }

  #setMode(mode: PoolMode, reason: string): void {
    if (this.#mode === mode || this.#mode === 'ro') return;
    this.#mode = mode;
    this.#space.noteUse();
    this.#events.onModeChanged?.(mode, reason);
  }
}
