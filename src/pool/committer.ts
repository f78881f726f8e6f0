import { setImmediate as nextTurn } from 'node:timers/promises';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { DeviceIo } from '../io/device-io.js';
import type { TransactionId } from '../format/ids.js';
import type { NodeLimits } from '../format/node.js';
import { checkPool } from '../metadata/check.js';
import type { MetadataOptions } from '../metadata/open-metadata.js';
import type { BatchOptions, KvOperation } from '../store/key-value.js';
import type { PoolState } from './pool-state.js';

/** Some milliseconds' worth of changes to trees. */
const APPLY_STEP = 1024;

export interface CommitOptions extends MetadataOptions {
  /** Changed mappings that a commit applies before others get their turn. */
  readonly applyStep?: number | undefined;
  /**
   * Checks the whole metadata after each commit, but not in a pool that is known to be damaged. Takes no more
   * commits where it is not sound. Default: true if the environment has THINFUSE_VERIFY=1.
   */
  readonly verify?: boolean | undefined;
}

/**
 * Makes what is in memory durable, one batch at a time. The steps of a commit, in order: **apply** the
 * mappings that active devices changed, **prepare** the values of chunks, which says what is partial,
 * **collect** nodes, sheets, records and chunks, **sync** the data that lies elsewhere and the log, **write**
 * the rest as one synced batch, **settle** memory and **recycle** what the batch freed or, if the batch
 * failed, **undo**. After a failure memory can still be read, all waiting callers get the error, and there is
 * no commit until the pool is opened again. There is one exception: after a batch that found no room on the
 * disk, the next commit tries again.
 */
export class Committer {
  readonly #state: PoolState;
  readonly #applyStep: number;
  readonly #limits: NodeLimits | undefined;
  readonly #verify: boolean;
  #failure: ThinError | undefined;
  /** Of the last commit that is durable. */
  #transaction: TransactionId;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(state: PoolState, { applyStep = APPLY_STEP, verify, limits }: CommitOptions) {
    this.#state = state;
    this.#transaction = state.metadata.superblock.transactionId;
    this.#applyStep = applyStep;
    this.#limits = limits;
    this.#verify = verify ?? process.env['THINFUSE_VERIFY'] === '1';
  }

  /** A commit would write something. Data that was overwritten in place and not synced does not count. */
  get isDirty(): boolean {
    const { metadata, plane, pendingMappings } = this.#state;
    return metadata.isDirty || plane.chunks.isDirty || pendingMappings > 0 || plane.log?.isUsed === true;
  }

  /**
   * Resolves when everything changed before the call is durable. Calls made while a batch is on its way share
   * the next one.
   */
  commit(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        // Another caller may have begun one since the last ended. It has this caller's changes.
        return this.#running ?? this.#start();
      });
    return this.#next;
  }

  /**
   * Resolves when everything that was answered before the call is durable: in the log, or where there is
   * none, in the store.
   */
  async flush(): Promise<void> {
    const { log } = this.#state.plane;
    if (this.#failure !== undefined) {
      if (this.#isInLog()) return;
      throw this.#failure;
    }
    if (log?.isOn !== true) return this.commit();
    try {
      if (await this.#sync()) return;
    } catch (error) {
      throw this.#fail(error);
    }
    return this.commit();
  }

  /** The next start takes it from there. */
  #isInLog(): boolean {
    const { log, chunks } = this.#state.plane;
    if (log?.isSynced !== true) return false;
    return chunks.memory.kind === 'cache' || !log.writer.needsSyncedData(log.position);
  }

  /**
   * First the data that lies elsewhere, then the log that says where it belongs. False: the log does not have
   * all that was answered.
   */
  async #sync(): Promise<boolean> {
    const { log, chunks } = this.#state.plane;
    const position = log?.writer.dataHead ?? 0;
    await chunks.sync();
    if (log?.isOn !== true) return false;
    if (chunks.memory.kind === 'cache') return log.sync();
    if (!log.writer.needsSyncedData(position)) return true;
    if (!log.writer.syncedData(position) || !(await log.sync())) return false;
    log.writer.noteDataSynced(position);
    return true;
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
   * The first step for one device, at once: its requests are held up, and `applyInTurns` has left little to
   * do. When it fails, so does every commit from then on, since the change may be half made.
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
    this.#state.plane.isSettled = false;
    try {
      const next = io.applyMappings(from, most);
      this.#state.noteApplied(io.device);
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
    if (!this.isDirty && !this.#state.plane.chunks.needsSync) return Promise.resolve();
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    // After a failed commit memory may hold half a change, which never goes to the store.
    if (this.#failure !== undefined) throw this.#failure;
    const { store, metadata, plane, active, space } = this.#state;
    if (store.needsRecovery === true) await this.#recover();
    const position = plane.log?.position;
    const givenUp = plane.takeGivenUp();
    // After this wait, every record before the position has its mapping published.
    if (position !== undefined) await plane.epochs.quiet();
    plane.isSettled = false;
    for (const io of active.values()) await this.applyInTurns(io);
    // From here to `collect` no other task runs. Otherwise the batch could have a later overwrite without an
    // earlier mapping.
    for (const io of active.values()) this.apply(io);
    this.#prepare();
    const changed = plane.log?.changed ?? 0;
    const changes = metadata.collect();
    const chunks = plane.chunks.collect(changes.freedChunks);
    const { transactionId } = metadata.superblock;
    try {
      // The log first: what the store has then is what the log has up to some place, and some of what
      // follows.
      const values = await this.#synced(() => chunks.operations());
      const operations = [
        ...values,
        ...changes.operations,
        ...(position === undefined ? [] : (plane.log?.operations(position, changed) ?? [])),
      ];
      if (operations.length > 0)
        await this.#batch(operations, { landmark: transactionId !== this.#transaction });
    } catch (error) {
      chunks.undo();
      changes.undo();
      plane.keepGivenUp(givenUp);
      if (store.needsRecovery === true) throw error;
      throw this.#fail(error);
    }
    this.#transaction = transactionId;
    chunks.settle();
    changes.settle();
    plane.isSettled = !metadata.isDirty;
    if (position !== undefined) plane.log?.committed(position);
    plane.recycle(changes.freedChunks, givenUp);
    if (this.#verify && !metadata.superblock.needsCheck) await this.#verifyCommitted();
    space.check();
  }

  /** Does `work` while the disk syncs. However one ends, the other has ended too. */
  async #synced<T>(work: () => Promise<T>): Promise<T> {
    const syncing = this.#sync();
    // The sync is under way a turn later, and `work` may take long without one.
    const working = nextTurn().then(work);
    await Promise.allSettled([syncing, working]);
    await syncing;
    return working;
  }

  /** @param landmark the set of devices changed */
  async #batch(
    operations: readonly KvOperation[],
    { landmark }: Required<Pick<BatchOptions, 'landmark'>>,
  ): Promise<void> {
    const { store, space } = this.#state;
    try {
      await store.batch(operations, { sync: true, landmark });
    } catch (error) {
      // Nothing is lost: the next commit tries again.
      if (store.needsRecovery === true) space.noteHostFull();
      throw error;
    }
  }

  async #recover(): Promise<void> {
    try {
      await this.#state.suspended(async () => this.#state.store.recover?.());
    } catch (error) {
      this.#state.space.noteHostFull();
      throw toThinError(error);
    }
  }

  async #verifyCommitted(): Promise<void> {
    const committed = this.#state.store.snapshot();
    try {
      const { findings } = await checkPool(committed, { limits: this.#limits });
      if (findings.length === 0) return;
      const told = findings.map(({ path, problem }) => `${path}: ${problem}`).join('; ');
      throw this.#fail(new ThinError('damaged', `THINFUSE_VERIFY: the last commit is not sound: ${told}`));
    } finally {
      await committed.close();
    }
  }

  #prepare(): void {
    try {
      this.#state.metadata.releaseFreed();
      this.#state.plane.chunks.prepare();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(error: unknown): ThinError {
    this.#failure = toThinError(error);
    this.#state.setMode('ro', `a commit failed: ${this.#failure.message}`);
    return this.#failure;
  }
}
