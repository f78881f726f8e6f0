import { toThinError } from '../errors/thin-error.js';
import { consolidate } from './consolidate.js';
import type { PoolState } from './pool-state.js';
import { nextTurn } from './usage-counter.js';

/** Nodes given back in one commit: at most about 10,000 chunks, some milliseconds. */
export const NODES_PER_STEP = 32;

/**
 * Gives back the space of removed devices behind their users' backs, a bounded step a commit; a restart goes
 * on where it stopped.
 */
export class Reclaimer {
  readonly #state: PoolState;
  readonly #step: number;
  #running: Promise<void> | undefined;
  #stopped = false;
  #failure: Error | undefined;
  #listeners: (() => void)[] = [];

  /** @param step nodes given back in one commit */
  constructor(state: PoolState, step = NODES_PER_STEP) {
    this.#state = state;
    this.#step = step;
  }

  /** @param onDone called when nothing is left to give back */
  start(onDone?: () => void): void {
    if (onDone !== undefined) this.#listeners.push(onDone);
    if (this.#stopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // A device that was removed after the last look found this run active.
      if (this.#hasMore()) this.start();
    });
  }

  /** Resolves when nothing is left or it was stopped; rejects when a commit failed. */
  async settle(): Promise<void> {
    do {
      this.start();
      await this.#running;
    } while (this.#hasMore());
    if (this.#failure !== undefined) throw this.#failure;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running?.catch(() => undefined);
  }

  #hasMore(): boolean {
    return !this.#stopped && this.#state.metadata.owesSpace;
  }

  async #run(): Promise<void> {
    // No caller waits for this, so a failure must not go unhandled. The next commit reports it.
    try {
      while (this.#hasMore()) {
        await nextTurn();
        this.#state.metadata.deleteStep(this.#step);
        await this.#state.commit();
      }
      if (!this.#state.metadata.superblock.needsCheck)
        await consolidate(this.#state, () => this.#stopped || this.#hasMore());
    } catch (error) {
      this.#stopped = true;
      this.#failure = toThinError(error);
      return;
    }
    if (this.#hasMore()) return;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}
