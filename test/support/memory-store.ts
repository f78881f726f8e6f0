import { createRequire } from 'node:module';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type sortedBTreeModule from 'sorted-btree';
import { ThinError } from '../../src/errors/thin-error.js';
import type { KeyValue, KvOperation, KvRange, KvReader, KvSnapshot } from '../../src/store/key-value.js';

// CommonJS with an __esModule mark: an import differs between Node and what mocha makes of this file.
const sortedBTree = createRequire(import.meta.url)('sorted-btree') as typeof sortedBTreeModule;

/** Keys as latin1 text compare as their bytes do. `clone` is O(1): nodes are copied when one side changes. */
export type MemoryTree = sortedBTreeModule.default<string, Uint8Array>;

export const keyText = (key: Uint8Array): string => Buffer.from(key).toString('latin1');
const keyBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

const closed = (): ThinError => new ThinError('closed', 'cannot use the store in memory: it is closed');
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

class MemoryReader implements KvReader {
  protected tree: MemoryTree;
  readonly #check: () => void;

  /** `check` throws where the store cannot be read. */
  constructor(tree: MemoryTree, check: () => void) {
    this.tree = tree;
    this.#check = check;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    this.#check();
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
    this.#check();
    const frozen = this.tree.clone();
    const end = keyText(range.lt);
    for (const [key, value] of frozen.entries(keyText(range.gte))) {
      if (key >= end) return;
      await yieldToOthers();
      this.#check();
      yield [keyBytes(key), options.values === false ? new Uint8Array(0) : value.slice()];
    }
  }
}

class MemorySnapshot extends MemoryReader implements KvSnapshot {
  #closed = false;

  constructor(tree: MemoryTree, check: () => void) {
    super(tree.clone(), () => {
      if (this.#closed) throw closed();
      check();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

/** `KeyValue` in memory, with the semantics of the one over LevelDB: copies, order, visibility, errors. */
export class MemoryStore extends MemoryReader implements KeyValue {
  #queue: Promise<void> = Promise.resolve();
  #closing = false;
  #closed = false;

  constructor(tree: MemoryTree = newTree()) {
    super(tree, () => this.#assertReadable());
  }

  /** Called before each read; what it throws fails the read. */
  protected beforeRead(): void {}

  /** Called in a batch's turn, before it is applied; what it throws fails the batch. */
  protected beforeApply(_operations: readonly KvOperation[], _sync: boolean): void {}

  async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    if (this.#closing) throw closed();
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
    this.#assertReadable();
    return new MemorySnapshot(this.tree, () => this.#assertReadable());
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#queue;
    this.#closed = true;
  }

  #assertReadable(): void {
    if (this.#closed) throw closed();
    this.beforeRead();
  }

  /** The same contents in a store that is open. */
  reopen(): MemoryStore {
    return new MemoryStore(this.tree);
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
