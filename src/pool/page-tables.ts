import type { DeviceIo } from '../io/device-io.js';
import type { Committer } from './committer.js';

/** Keeps the page tables of active devices within their memory: where it is used up, the device with the largest table begins a new one. */
export class PageTables {
  readonly #active: () => Iterable<DeviceIo>;
  readonly #committer: Pick<Committer, 'applied'>;
  #running: Promise<void> | undefined;

  constructor(active: () => Iterable<DeviceIo>, committer: Pick<Committer, 'applied'>) {
    this.#active = active;
    this.#committer = committer;
  }

  /** Resolves when some device has let go of its table. */
  makeRoom(): Promise<void> {
    return (this.#running ??= this.#forgetLargest().finally(() => {
      this.#running = undefined;
    }));
  }

  async #forgetLargest(): Promise<void> {
    const [largest] = [...this.#active()].sort((x, y) => y.tablePages - x.tablePages);
    if (largest === undefined) return;
    await this.#committer.applied(largest, () => {
      largest.forgetMappings();
    });
  }
}
