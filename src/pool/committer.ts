import { setImmediate as nextTurn } from 'node:timers/promises';
import { toThinError, type ThinError } from '../errors/thin-error.js';
import type { DeviceId, TransactionId } from '../format/ids.js';
import type { DataPlane } from '../io/data-plane.js';
import type { DeviceIo } from '../io/device-io.js';
import type { Metadata } from '../metadata/metadata.js';
import type { BatchOptions, KeyValue, KvOperation } from '../store/key-value.js';

/** Some milliseconds' worth of changes to trees. */
const APPLY_STEP = 1024;

/**
 * Makes what is in memory durable, one batch at a time. The steps of a commit, in order: **apply** the mappings that active devices
 * changed, **prepare** the values of chunks, which says what is partial, **collect** nodes, pages, records and chunks, **sync** the data that lies elsewhere, **write** the rest as one synced batch,
 * **settle** memory and **recycle** what the batch freed (or **undo**, when the batch failed: what is in memory can still be read, the error goes to whoever waits,
 * and no commit is made any more until the pool is opened again; but a batch that found no room on the disk is tried again by the next commit).
 */
export class Committer {
  readonly #store: KeyValue;
  readonly #metadata: Metadata;
  readonly #plane: () => DataPlane;
  readonly #active: () => Iterable<DeviceIo>;
  readonly #onApplied: (device: DeviceId) => void;
  readonly #onFailed: (error: ThinError) => void;
  readonly #onNoSpace: () => void;
  readonly #onCommitted: () => void;
  readonly #suspended: (work: () => Promise<void>) => Promise<void>;
  readonly #applyStep: number;
  #failure: ThinError | undefined;
  /** Of the last commit that is durable. */
  #transaction: TransactionId;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(parts: {
    store: KeyValue;
    metadata: Metadata;
    /** Made after the committer, which it knows. */
    plane: () => DataPlane;
    active: () => Iterable<DeviceIo>;
    /** Mappings of this device changed. */
    onApplied: (device: DeviceId) => void;
    onFailed: (error: ThinError) => void;
    /** A batch found no room on the disk. Nothing is lost: the next commit tries again. */
    onNoSpace: () => void;
    onCommitted: () => void;
    /** Runs `work` while no request on any device is in flight. */
    suspended: (work: () => Promise<void>) => Promise<void>;
    /** Changed mappings that are applied before others get their turn. */
    applyStep?: number | undefined;
  }) {
    this.#store = parts.store;
    this.#metadata = parts.metadata;
    this.#transaction = parts.metadata.superblock.transactionId;
    this.#plane = parts.plane;
    this.#active = parts.active;
    this.#onApplied = parts.onApplied;
    this.#onFailed = parts.onFailed;
    this.#onNoSpace = parts.onNoSpace;
    this.#onCommitted = parts.onCommitted;
    this.#suspended = parts.suspended;
    this.#applyStep = parts.applyStep ?? APPLY_STEP;
  }

  /** A commit would write something. Data that was overwritten in place and not synced does not count. */
  get isDirty(): boolean {
    if (this.#metadata.isDirty || this.#plane().chunks.isDirty) return true;
    for (const io of this.#active()) if (io.pendingMappings > 0) return true;
    return false;
  }

  /**
   * Resolves when everything changed before the call is durable. Calls made while a batch is on its way share the next one.
   */
  commit(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        // Somebody may have begun one since the last ended; it took in what this caller changed.
        return this.#running ?? this.#start();
      });
    return this.#next;
  }

  /** Runs `work` while the device has no request in flight and no change that was not applied. */
  async applied<T>(io: DeviceIo, work: () => T): Promise<T> {
    await this.applyInTurns(io);
    return io.quiesced(() => {
      this.apply(io);
      return work();
    });
  }

  /**
   * The first step for one device, at once: its requests are held up, and `applyInTurns` has left little to do. When it fails, so does every
   * commit from then on, since the change may be half made.
   */
  apply(io: DeviceIo): void {
    this.#applySome(io, 0, Infinity);
  }

  /** The same for what had changed when it was called, while others have their turns. */
  async applyInTurns(io: DeviceIo): Promise<void> {
    let next = this.#applySome(io, 0, this.#applyStep);
    while (next !== undefined) {
      await nextTurn();
      next = this.#applySome(io, next, this.#applyStep);
    }
  }

  #applySome(io: DeviceIo, from: number, most: number): number | undefined {
    if (io.pendingMappings === 0) return undefined;
    this.#plane().isSettled = false;
    try {
      const next = io.applyMappings(from, most);
      this.#onApplied(io.device);
      return next;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Resolves when no batch is on its way, however it ended. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
  }

  #start(): Promise<void> {
    if (!this.isDirty && !this.#plane().chunks.needsSync) return Promise.resolve();
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    // What a failed commit left in memory may be half a change; it never goes to the store.
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#store.needsRecovery === true) await this.#recover();
    const plane = this.#plane();
    const generation = plane.journal?.advance();
    // Whoever has seen the generation before has published what it wrote down.
    if (generation !== undefined) await plane.epochs.quiet();
    plane.isSettled = false;
    for (const io of this.#active()) await this.applyInTurns(io);
    this.#prepare();
    const metadata = this.#metadata.collect();
    const chunks = plane.chunks.collect(metadata.freedChunks);
    const { transactionId } = this.#metadata.superblock;
    try {
      await chunks.sync();
      const operations = [...chunks.operations, ...metadata.operations];
      if (operations.length > 0)
        await this.#batch(operations, { landmark: transactionId !== this.#transaction });
    } catch (error) {
      chunks.undo();
      metadata.undo();
      if (this.#store.needsRecovery === true) throw error;
      throw this.#fail(error);
    }
    this.#transaction = transactionId;
    chunks.settle();
    metadata.settle();
    plane.isSettled = !this.#metadata.isDirty;
    if (generation !== undefined) plane.journal?.retire(generation);
    plane.recycle(metadata.freedChunks);
    this.#onCommitted();
  }

  /** @param landmark the set of devices changed */
  async #batch(
    operations: readonly KvOperation[],
    { landmark }: Required<Pick<BatchOptions, 'landmark'>>,
  ): Promise<void> {
    try {
      await this.#store.batch(operations, { sync: true, landmark });
    } catch (error) {
      if (this.#store.needsRecovery === true) this.#onNoSpace();
      throw error;
    }
  }

  async #recover(): Promise<void> {
    try {
      await this.#suspended(async () => this.#store.recover?.());
    } catch (error) {
      this.#onNoSpace();
      throw toThinError(error);
    }
  }

  #prepare(): void {
    try {
      this.#metadata.freePartial();
      this.#plane().chunks.prepare();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(error: unknown): ThinError {
    this.#failure = toThinError(error);
    this.#onFailed(this.#failure);
    return this.#failure;
  }
}
