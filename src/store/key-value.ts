import type { ThinError } from '../errors/thin-error.js';

/** One change in a batch. Keys sort as bytes. */
export type KvOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export interface KvRange {
  /** Inclusive. */
  readonly gte: Uint8Array;
  /** Exclusive. */
  readonly lt: Uint8Array;
}

/** What can be read of an ordered store; a `KvSnapshot` is the same, frozen at a moment. */
export interface KvReader {
  /**
   * The value, or undefined where there is none. The caller owns the bytes. Errors: `io`, `damaged`,
   * `closed`.
   */
  getSync(key: Uint8Array): Uint8Array | undefined;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Ascending by key. `values: false` yields empty values and reads no value bytes into memory. */
  entries(range: KvRange, options?: { values?: boolean }): AsyncIterable<readonly [Uint8Array, Uint8Array]>;
}

export interface KvSnapshot extends KvReader {
  close(): Promise<void>;
}

export interface BatchOptions {
  /** Durable when it resolves. */
  readonly sync: boolean;
  /** That it was acknowledged is durable, too (`MarkedStore`); of others soon after. Default false. */
  readonly landmark?: boolean;
}

/**
 * An ordered map of bytes with atomic batches: all that thinfuse asks of LevelDB.
 *
 * Contract: a batch is applied whole or not at all, also across a crash. When `batch(..., {sync: true})`
 * resolves, the batch is durable. Unsynced batches before it need not be: whatever must be durable goes into
 * a synced batch itself. The bytes of a batch are copied before `batch` returns its promise, so the caller
 * may change its buffers at once. `get` sees a batch only after its promise resolved. After a failed batch
 * the store takes no more batches (`io`) until it is reopened; where that failed for lack of space
 * (`no-space`) and there is a `recover`, until that resolves. Such a batch may have been applied all the
 * same.
 */
export interface KeyValue extends KvReader {
  batch(operations: readonly KvOperation[], options: BatchOptions): Promise<void>;
  snapshot(): KvSnapshot;
  /** Whether a batch has failed for lack of space and `recover` is what helps. */
  readonly needsRecovery?: boolean;
  /**
   * Takes batches again. Meanwhile `get` waits, and other reads fail with `closed`. Errors: no-space (there
   * still is no room; reads go on), as opening.
   */
  recover?(): Promise<void>;
  /**
   * Gives the disk back what overwritten and deleted values of the range still take; not every store has it.
   */
  compact?(range: KvRange): Promise<void>;
  /**
   * Bytes on the disk for the values of the range: about, and with what was overwritten and not given back so
   * far. Errors: io.
   */
  sizeOf?(range: KvRange): Promise<number>;
  /**
   * Reads every byte of the files behind it, whatever is written meanwhile: `damaged` for each place that is
   * not as it was written. Errors: io.
   */
  damagedFiles?(): AsyncIterable<ThinError>;
  /**
   * Looks, in the background and from now on, for what could end this process if it were read; told of the
   * first that is damaged.
   */
  watchFiles?(onDamage: (error: ThinError) => void): void;
  close(): Promise<void>;
}
