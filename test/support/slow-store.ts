import { setImmediate as nextTurn } from 'node:timers/promises';
import { MemoryStore } from './memory-store.js';

/** A store whose reads take their time: each so many turns of the event loop before and after it looks. */
export class SlowStore extends MemoryStore {
  readonly #turns: () => number;

  constructor(turns: () => number) {
    super();
    this.#turns = turns;
  }

  override async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    for (let turn = this.#turns(); turn > 0; turn--) await nextTurn();
    const value = await super.get(key);
    for (let turn = this.#turns(); turn > 0; turn--) await nextTurn();
    return value;
  }
}
