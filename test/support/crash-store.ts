import { ThinError, type ThinErrorCode } from '../../src/errors/thin-error.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { describeKey } from '../../src/format/keys.js';
import {
  applyOperations,
  copyOperation,
  keyText,
  MemoryStore,
  type MemoryTree,
  newTree,
} from './memory-store.js';

export interface RecordedBatch {
  readonly operations: readonly KvOperation[];
  readonly sync: boolean;
}

/**
 * `KeyValue` in memory that keeps every batch, fails when told to, and says what a crash would leave.
 * Batches count from 0 in the order in which they take effect; a failed one counts too.
 */
export class CrashStore extends MemoryStore {
  readonly #start: MemoryTree;
  readonly #applied: RecordedBatch[] = [];
  readonly #faults = new Map<number, ThinErrorCode>();
  #count = 0;
  #freezeAt = Infinity;
  #frozen = false;
  #failed = false;

  /** `content`: what is there, durable, at the start (such as another store's `contents`). */
  constructor(content: MemoryTree = newTree()) {
    super(content.clone());
    this.#start = content.clone();
  }

  /** Batches that have had their turn, failed ones among them. */
  get batchCount(): number {
    return this.#count;
  }

  get batches(): readonly RecordedBatch[] {
    return this.#applied;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  get contents(): MemoryTree {
    return this.tree.clone();
  }

  /** As it was before its last batches. */
  without(batches: number): MemoryTree {
    const tree = this.#start.clone();
    for (const batch of this.#applied.slice(0, this.#applied.length - batches))
      applyOperations(tree, batch.operations);
    return tree;
  }

  /**
   * Batch `n` and all operations from then on fail with `io`; batch `n` itself leaves nothing. Already past:
   * at once.
   */
  freezeAt(n: number): void {
    this.#freezeAt = n;
    if (this.#count > n) this.#frozen = true;
  }

  /** From now on all operations fail with `io`. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Batch `n` fails and leaves nothing; by the contract the store takes no batch after it. Reads go on. */
  failBatch(n: number, code: 'no-space' | 'io'): void {
    this.#faults.set(n, code);
  }

  /**
   * The store as the next process finds it: every batch up to the last synced one, and of the unsynced ones
   * behind it as many, in order, as `keep` says of how many there are. LevelDB promises no more; by default
   * all of those are lost.
   */
  crash(keep: (unsynced: number) => number = () => 0): CrashStore {
    this.#frozen = true;
    const durable = this.#applied.findLastIndex((batch) => batch.sync) + 1;
    const unsynced = this.#applied.length - durable;
    const kept = Math.max(0, Math.min(unsynced, Math.trunc(keep(unsynced))));
    const tree = this.#start.clone();
    for (const batch of this.#applied.slice(0, durable + kept)) applyOperations(tree, batch.operations);
    return new CrashStore(tree);
  }

  /** Flips one bit of the stored value: `bit` counts from the first byte's lowest. */
  flipBit(key: Uint8Array, bit: number): void {
    const value = new Uint8Array(this.#stored(key));
    value[Math.floor(bit / 8)]! ^= 1 << (bit % 8);
    this.tree.set(keyText(key), value);
  }

  /** Cuts the value off at `length` bytes. */
  truncate(key: Uint8Array, length: number): void {
    this.tree.set(keyText(key), this.#stored(key).slice(0, length));
  }

  /** Loses the value, as if it had never been written. */
  drop(key: Uint8Array): void {
    this.#stored(key);
    this.tree.delete(keyText(key));
  }

  /** Puts each value where the other was. */
  swap(a: Uint8Array, b: Uint8Array): void {
    const [valueOfA, valueOfB] = [this.#stored(a), this.#stored(b)];
    this.tree.set(keyText(a), valueOfB);
    this.tree.set(keyText(b), valueOfA);
  }

  protected override beforeRead(): void {
    if (this.#frozen) throw frozenError();
  }

  protected override beforeApply(operations: readonly KvOperation[], sync: boolean): void {
    if (this.#frozen) throw frozenError();
    if (this.#failed) throw new ThinError('io', 'the store takes no more writes since one failed; restart');
    const number = this.#count++;
    if (number >= this.#freezeAt) {
      this.#frozen = true;
      throw frozenError();
    }
    const fault = this.#faults.get(number);
    if (fault !== undefined) {
      this.#failed = true;
      throw new ThinError(fault, `batch ${number} fails because a test asked for it`);
    }
    this.#applied.push({ operations: operations.map(copyOperation), sync });
  }

  #stored(key: Uint8Array): Uint8Array {
    const value = this.tree.get(keyText(key));
    if (value === undefined) throw new Error(`there is no ${describeKey(key)} in the store to damage`);
    return value;
  }
}

/** A choice for `crash` that a seed repeats: any number of the unsynced batches survives (mulberry32). */
export function seededKeep(seed: number): (unsynced: number) => number {
  let state = seed;
  return (unsynced) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % (unsynced + 1);
  };
}

function frozenError(): ThinError {
  return new ThinError('io', 'the store is frozen: a test stopped the machine here');
}
