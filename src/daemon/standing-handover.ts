import { forgetHandover, leaveHandover, type Handover } from './handover.js';
import type { RootLayout } from '../config/root-layout.js';

/** What the daemon itself tells of it. */
export type HandoverState = Omit<Handover, 'version' | 'supervisor' | 'frozen' | 'attaching'>;

/**
 * Keeps the handover of a serving daemon as a successor would need it if the daemon died now. Updates it
 * before any caller hears of a change.
 */
export class StandingHandover {
  readonly #layout: Pick<RootLayout, 'root'>;
  readonly #onFailure: (error: unknown) => void;
  readonly #frozen = new Set<string>();
  /** Image files that a tool is at, beside those that the daemon itself tells of. */
  readonly #attaching = new Set<string>();
  #state: (() => HandoverState | undefined) | undefined;

  constructor(layout: Pick<RootLayout, 'root'>, onFailure: (error: unknown) => void) {
    this.#layout = layout;
    this.#onFailure = onFailure;
  }

  /** Begins now. `state` returns the present state, or undefined if no successor could continue with it. */
  begin(state: () => HandoverState | undefined): void {
    this.#state = state;
    this.note();
  }

  /** Writes a change. If the write fails, no daemon will follow. */
  note(): void {
    const state = this.#state?.();
    if (state === undefined) return;
    try {
      leaveHandover(this.#layout, {
        version: 2,
        supervisor: process.ppid,
        frozen: [...this.#frozen],
        ...state,
        unfinished: [...state.unfinished, ...this.#attaching],
        attaching: [...this.#attaching],
      });
    } catch (error) {
      forgetHandover(this.#layout);
      this.#onFailure(error);
    }
  }

  /** The last word before a planned end: what comes after it is the next daemon's to do. */
  fix(): void {
    this.note();
    this.#state = undefined;
  }

  /** The daemon ends in order, and no daemon is to follow. */
  end(): void {
    this.#state = undefined;
    forgetHandover(this.#layout);
  }

  whileFrozen<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#noted(this.#frozen, image, work);
  }

  /** A loop device on the image that remains when this process ends has no user. */
  whileAttaching<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#noted(this.#attaching, image, work);
  }

  async #noted<T>(images: Set<string>, image: string, work: () => Promise<T>): Promise<T> {
    images.add(image);
    this.note();
    try {
      return await work();
    } finally {
      images.delete(image);
      this.note();
    }
  }
}
