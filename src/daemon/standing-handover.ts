import { forgetHandover, leaveHandover, type Handover } from './handover.js';
import type { RootLayout } from '../config/root-layout.js';

/** What the daemon itself tells of it. */
export type HandoverState = Omit<Handover, 'version' | 'supervisor' | 'frozen' | 'attaching'>;

/**
 * Keeps the handover of a daemon that serves as it would have to be if the daemon died at this moment:
 * brought up to date before anybody hears of a change.
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

  /**
   * From now on; `state` tells what there is at any moment, or undefined where nobody could go on with it.
   */
  begin(state: () => HandoverState | undefined): void {
    this.#state = state;
    this.note();
  }

  /** Something has changed. Where it cannot be written, nobody follows. */
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

  /** The end is in order, and nobody is to follow. */
  end(): void {
    this.#state = undefined;
    forgetHandover(this.#layout);
  }

  whileFrozen<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#noted(this.#frozen, image, work);
  }

  /** A loop device that is on the image when this process ends is nobody's. */
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
