import { ThinError } from '../errors/thin-error.js';
import type { DeviceId } from '../format/ids.js';
import { DataPlane, type PlaneOwner } from '../io/data-plane.js';
import type { DeviceIo } from '../io/device-io.js';
import type { PoolGate } from '../io/pool-gate.js';
import type { Metadata } from '../metadata/metadata.js';
import { RequestEpochs } from '../threads/request-epochs.js';
import type { KeyValue } from '../store/key-value.js';
import { Committer } from './committer.js';
import { Compactor } from './compactor.js';
import { DeviceLog } from './device-log.js';
import { Extender } from './extender.js';
import { HostGuard } from './host-guard.js';
import type { PoolMode, PoolOptions } from './info.js';
import { openChunks } from './open-chunks.js';
import type { OpenPoolOptions } from './open-options.js';
import type { StoredPool } from './open-stored.js';
import { MappingTables } from './mapping-tables.js';
import { Reclaimer } from './reclaimer.js';
import { RemoteFetcher } from './remote-fetcher.js';
import type { SpaceEvent } from './space-events.js';
import { SpacePolicy } from './space-policy.js';
import { suspended } from './suspend.js';
import type { PoolEvents } from './thin-pool.js';
import { UsageCounter } from './usage-counter.js';

/**
 * The shared state of the parts of one open pool, like dm-thin's `struct pool`. Each part receives it and
 * finds the others here. The data path below also uses it as its pool. Pool thread only.
 */
export class PoolState implements PlaneOwner, PoolGate {
  readonly store: KeyValue;
  readonly metadata: Metadata;
  readonly active = new Map<DeviceId, DeviceIo>();
  readonly committer: Committer;
  readonly deviceLog: DeviceLog;
  readonly mappingTables: MappingTables;
  readonly plane: DataPlane;
  readonly remote: RemoteFetcher;
  readonly host: HostGuard;
  readonly extender: Extender;
  readonly space: SpacePolicy;
  readonly usage: UsageCounter;
  readonly reclaimer: Reclaimer;
  readonly compactor: Compactor;
  options: PoolOptions;
  isClosing = false;
  readonly #events: PoolEvents;
  #mode: PoolMode = 'rw';

  constructor(
    store: KeyValue,
    { metadata, options }: StoredPool,
    given: OpenPoolOptions & { readonly zeroedFrom: number | undefined },
  ) {
    this.store = store;
    this.metadata = metadata;
    this.options = options;
    this.#events = given.events ?? {};
    if (metadata.superblock.needsCheck) this.#mode = 'ro';
    const epochs = new RequestEpochs();
    const { zeroedFrom, log, tableSheets, searchStep } = given;
    const chunks = openChunks(store, metadata, withCacheSize(given, options), {
      epochs,
      commit: () => this.commit(),
      zeroedFrom,
      compression: () => this.options.compression,
      fetch: (chunk) => this.remote.fetch(chunk),
    });
    this.plane = new DataPlane(this, { chunks, metadata, epochs, log, tableSheets, searchStep });
    this.remote = new RemoteFetcher(this, given.remote);
    this.committer = new Committer(this, given);
    this.deviceLog = new DeviceLog({
      log,
      devices: metadata.devices,
      flush: () => this.flush(),
      commit: () => this.commit(),
    });
    this.mappingTables = new MappingTables(this);
    this.host = new HostGuard(given.hostDisk, (event) => this.tell(event), given.hostFloor);
    this.extender = new Extender(this, given);
    this.space = new SpacePolicy(this);
    this.usage = new UsageCounter(metadata);
    this.reclaimer = new Reclaimer(this, given.reclaimStep);
    this.compactor = new Compactor(store, metadata.superblock);
  }

  get mode(): PoolMode {
    return this.#mode;
  }

  commit(): Promise<void> {
    return this.committer.commit();
  }

  flush(): Promise<void> {
    return this.committer.flush();
  }

  /** A user that only read the device gets no failure. */
  async flushOf({ traffic }: Pick<DeviceIo, 'traffic'>): Promise<void> {
    const { writes } = traffic.totals();
    await this.flush().catch((error: unknown) => {
      if (writes > 0) throw error;
    });
  }

  /** @throws ThinError read-only, closed */
  requireWritable(): void {
    if (this.isClosing) throw new ThinError('closed', 'the pool is being closed');
    if (this.#mode === 'ro')
      throw new ThinError(
        'read-only',
        'the pool is read-only after a failure; run thinfuse check, then stop and start it',
      );
  }

  /** `ro` is for good, but for `clearNeedsCheck`. */
  setMode(mode: PoolMode, reason: string): void {
    if (this.#mode === mode || this.#mode === 'ro') return;
    this.#mode = mode;
    this.space.noteUse();
    this.#events.onModeChanged?.(mode, reason);
  }

  /**
   * The metadata is damaged: no more writes until a check has found it sound; what was taken in before is
   * still committed.
   */
  foundDamage(error: ThinError): void {
    if (this.metadata.superblock.needsCheck) return;
    this.metadata.changeSuperblock({ needsCheck: true });
    this.setMode('ro', error.message);
    this.commit().catch(() => undefined);
  }

  /** A check has found the metadata sound. */
  async clearNeedsCheck(): Promise<void> {
    if (!this.metadata.superblock.needsCheck || this.isClosing) return;
    this.metadata.changeSuperblock({ needsCheck: false });
    await this.commit();
    // The records in the log are older than every later write.
    if ((this.plane.log?.left.length ?? 0) > 0) return;
    await this.beginLog();
    this.#mode = 'rw';
    this.space.noteUse();
    this.reclaimer.start();
    this.#events.onModeChanged?.('rw', 'a check found the metadata sound');
  }

  /** From now on what is answered is in the log before. */
  async beginLog(): Promise<void> {
    const { log } = this.plane;
    if (log === undefined || log.isBegun) return;
    this.metadata.noteLog();
    await this.commit();
    await log.begin(this.store);
  }

  /**
   * Runs `work` at a moment when no request is in flight on any active device; those that come meanwhile
   * wait.
   */
  suspended<T>(work: (active: readonly DeviceIo[]) => T | Promise<T>): Promise<T> {
    return suspended(this.active.values(), work);
  }

  /**
   * The same, with all that active devices have mapped applied; from then on it is shared. `work` waits for
   * nothing.
   */
  async sharing<T>(work: () => T): Promise<T> {
    for (const io of this.active.values()) await this.committer.applyInTurns(io);
    return this.suspended((active) => {
      this.requireWritable();
      for (const io of active) this.committer.apply(io);
      const result = work();
      for (const io of active) io.forgetMappings();
      return result;
    });
  }

  /** Space is owed back. */
  reclaim(): void {
    this.reclaimer.start(() => this.usage.markAll());
  }

  /** A commit has taken over mappings that the device changed. */
  noteApplied(device: DeviceId): void {
    const { devices } = this.metadata;
    if (devices.familySize(device) > 1) this.usage.markFamilyLater(devices.get(device).family);
  }

  noteDevicesChanged(): void {
    this.#events.onDevicesChanged?.();
  }

  /** @param problem undefined: it is over */
  tellRemote(problem: string | undefined): void {
    this.#events.onRemote?.(problem);
  }

  tell(event: SpaceEvent): void {
    this.#events.onSpace?.(event);
  }

  get pendingMappings(): number {
    let pending = 0;
    for (const io of this.active.values()) pending += io.pendingMappings;
    return pending;
  }

  get mayTake(): boolean {
    return this.space.mayTake;
  }

  noteReleased(): void {
    this.space.noteRoom();
  }

  noteRefilled(): void {
    this.space.noteUse();
  }

  noteChange(): void {
    if (this.plane.wantsCommit) this.commit().catch(() => undefined);
  }

  waitForSpace(device: string): Promise<void> {
    return this.space.waitForSpace(device);
  }

  waitForNodes(device: string): Promise<void> {
    return this.space.waitForNodes(device);
  }

  waitForSheets(): Promise<void> {
    return this.mappingTables.makeRoom();
  }

  admit(io: DeviceIo, offset: number, length: number): Promise<void> | undefined {
    return this.space.admit(io, offset, length);
  }
}

/** The size that is given wins over the pool's own; 0 there is the default. */
function withCacheSize(given: OpenPoolOptions, { cacheSize }: PoolOptions): OpenPoolOptions {
  return cacheSize === 0 ? given : { chunkCache: cacheSize, ...given };
}
