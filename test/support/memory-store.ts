import { setImmediate as yieldToOthers } from 'node:timers/promises';
import sortedBTree from 'sorted-btree';
import { ThinError } from '../../src/errors/thin-error.js';
import type { KeyValue, KvOperation, KvRange, KvReader, KvSnapshot } from '../../src/store/key-value.js';

/** Keys as latin1 text compare as their bytes do. `clone` is O(1): nodes are copied when one side changes. */
export type MemoryTree = sortedBTree.default<string, Uint8Array>;

export const keyText = (key: Uint8Array): string => Buffer.from(key).toString('latin1');
export const keyBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

const closed = (): ThinError => new ThinError('closed', 'cannot use the store in memory: it is closed');
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

class MemoryReader implements KvReader {
  protected tree: MemoryTree;
  protected isClosed: () => boolean;

  constructor(tree: MemoryTree, isClosed: () => boolean) {
    this.tree = tree;
    this.isClosed = isClosed;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    if (this.isClosed()) throw closed();
    return this.tree.get(keyText(key))?.slice();
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const value = this.getSync(key);
    await yieldToOthers();
    return value;
  }

  async *entries(
    range: KvRange,
    options: { values?: boolean } = {},
  ): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    if (this.isClosed()) throw closed();
    const frozen = this.tree.clone();
    const end = keyText(range.lt);
    for (const [key, value] of frozen.entries(keyText(range.gte))) {
      if (key >= end) return;
      await yieldToOthers();
      if (this.isClosed()) throw closed();
      yield [keyBytes(key), options.values === false ? new Uint8Array(0) : value.slice()];
    }
  }
}

class MemorySnapshot extends MemoryReader implements KvSnapshot {
  #closed = false;

  constructor(tree: MemoryTree, isClosed: () => boolean) {
    super(tree.clone(), () => this.#closed || isClosed());
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

/** `KeyValue` in memory, with the semantics of the one over LevelDB: copies, order, visibility, errors. */
export class MemoryStore extends MemoryReader implements KeyValue {
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(tree: MemoryTree = newTree()) {
    super(tree, () => this.#closed);
  }

  /** Called in a batch's turn, before it is applied; what it throws fails the batch. */
  protected beforeApply(_operations: readonly KvOperation[], _sync: boolean): void {}

  async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    if (this.#closed) throw closed();
    const copies = operations.map(copyOperation);
    const applied = this.#queue.then(async () => {
      await yieldToOthers();
      this.beforeApply(copies, options.sync);
      applyOperations(this.tree, copies);
    });
    this.#queue = applied.catch(() => undefined);
    return applied;
  }

  snapshot(): KvSnapshot {
    if (this.#closed) throw closed();
    return new MemorySnapshot(this.tree, () => this.#closed);
  }

  async close(): Promise<void> {
    const last = this.#queue;
    await last;
    this.#closed = true;
  }

  /** All that is in it now, in order; for asserting on. */
  dump(): [key: Uint8Array, value: Uint8Array][] {
    return [...this.tree.entries()].map(([key, value]) => [keyBytes(key), value.slice()]);
  }
}

export function newTree(): MemoryTree {
  return new sortedBTree.default<string, Uint8Array>(undefined, compare);
}

export function copyOperation(operation: KvOperation): KvOperation {
  return operation.type === 'put'
    ? { type: 'put', key: new Uint8Array(operation.key), value: new Uint8Array(operation.value) }
    : { type: 'del', key: new Uint8Array(operation.key) };
}

export function applyOperations(tree: MemoryTree, operations: readonly KvOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put') tree.set(keyText(operation.key), operation.value);
    else tree.delete(keyText(operation.key));
  }
}
