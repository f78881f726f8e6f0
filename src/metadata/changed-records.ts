import type { KvOperation } from '../store/key-value.js';

/** What a batch has to write, and the way back where the batch fails. */
export interface CollectedChanges {
  readonly operations: readonly KvOperation[];
  readonly undo: () => void;
}

/** The records of one kind that the open transaction has changed, by their numbers. */
export class ChangedRecords<Id extends number> {
  #ids = new Set<Id>();

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  has(id: Id): boolean {
    return this.#ids.has(id);
  }

  note(id: Id): void {
    this.#ids.add(id);
  }

  /** Operations for everything noted since the last call. */
  collect(operationsOf: (id: Id) => KvOperation | readonly KvOperation[]): CollectedChanges {
    const ids = this.#ids;
    this.#ids = new Set();
    return {
      operations: [...ids].flatMap(operationsOf),
      undo: () => {
        for (const id of ids) this.#ids.add(id);
      },
    };
  }
}

/** `value` undefined: there is no such record any more. */
export function putOrDelete(key: Uint8Array, value: Uint8Array | undefined): KvOperation {
  return value === undefined ? { type: 'del', key } : { type: 'put', key, value };
}
