import type { Metadata } from '../metadata/metadata.js';
import { nextTurn } from './usage-counter.js';

/** Nodes given back in one commit: at most about 10,000 chunks, some milliseconds. */
const NODES_PER_STEP = 32;

/** Gives back the space of removed devices behind their users' backs, a bounded step a commit; a restart goes on where it stopped. */
export class Reclaimer {
  readonly #metadata: Metadata;
  readonly #commit: () => Promise<void>;
  #running: Promise<void> | undefined;
  #stopped = false;
  #listeners: (() => void)[] = [];

  constructor(metadata: Metadata, commit: () => Promise<void>) {
    this.#metadata = metadata;
    this.#commit = commit;
  }

  /** @param onDone called when nothing is left to give back */
  start(onDone?: () => void): void {
    if (onDone !== undefined) this.#listeners.push(onDone);
    if (this.#stopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when nothing is left; rejects when a commit failed. */
  async settle(): Promise<void> {
    while (this.#running !== undefined || this.#metadata.devices.pending().length > 0) {
      if (this.#running === undefined) this.start();
      await this.#running;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running?.catch(() => undefined);
  }

  async #run(): Promise<void> {
    // Started without a waiter, so a failure must not go unhandled; `settle` sees it again.
    try {
      while (!this.#stopped && this.#metadata.devices.pending().length > 0) {
        await nextTurn();
        this.#metadata.deleteStep(NODES_PER_STEP);
        await this.#commit();
      }
    } catch {
      this.#stopped = true;
      return;
    }
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}
