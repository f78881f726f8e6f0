import type { PoolState } from './pool-state.js';

/**
 * Keeps the mapping tables of active devices within their memory: where it is used up, the device with the
 * largest table begins a new one.
 */
export class MappingTables {
  readonly #state: PoolState;
  #running: Promise<void> | undefined;

  constructor(state: PoolState) {
    this.#state = state;
  }

  /** Resolves when some device has released its table. */
  makeRoom(): Promise<void> {
    return (this.#running ??= this.#forgetLargest().finally(() => {
      this.#running = undefined;
    }));
  }

  async #forgetLargest(): Promise<void> {
    const [largest] = [...this.#state.active.values()].sort((x, y) => y.tableSheets - x.tableSheets);
    if (largest === undefined) return;
    await this.#state.committer.applied(largest, () => {
      largest.forgetMappings();
    });
  }
}
