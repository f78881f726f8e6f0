import type { RootLayout } from '../config/root-layout.js';
import { removeHandover, handoverFile, handoverHead } from './handover.js';
import { HandoverEntries, type HandoverChange, type HandoverState } from './handover-entries.js';
import { HandoverFile } from './handover-file.js';

/** What a daemon records of itself when it begins to serve. */
export type ServedState = Pick<HandoverState, 'connection' | 'active' | 'mounts'>;

/**
 * Keeps the handover of a serving daemon as a successor would need it if the daemon died now. Updates it
 * before any caller hears of a change, and a change costs the same whatever the daemon serves.
 */
export class StandingHandover {
  readonly #layout: Pick<RootLayout, 'root'>;
  readonly #onFailure: (error: unknown) => void;
  readonly #entries = new HandoverEntries();
  #state: (() => ServedState | undefined) | undefined;
  /** Undefined: it has not begun, or is over. */
  #head: string | undefined;
  #file: HandoverFile | undefined;

  constructor(layout: Pick<RootLayout, 'root'>, onFailure: (error: unknown) => void) {
    this.#layout = layout;
    this.#onFailure = onFailure;
  }

  /**
   * Begins with what is so now. `state` returns undefined as long as no successor could continue with it:
   * then this begins with a later change.
   */
  begin(state: () => ServedState | undefined): void {
    this.#state = state;
    this.#begin();
  }

  /** Writes a change. If the write fails, no daemon will follow until one succeeds. */
  note(change: HandoverChange): void {
    this.#entries.apply(change);
    if (this.#head === undefined) this.#begin();
    else this.#write((file) => file.append(change));
  }

  /** The last word before a planned end: what comes after it is the next daemon's to do. */
  fix(): void {
    if (this.#head === undefined) this.#begin();
    this.#close();
  }

  /** The daemon ends in order, and no daemon is to follow. */
  end(): void {
    this.#close();
    removeHandover(this.#layout);
  }

  whileFrozen<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#noted('frozen', image, work);
  }

  /** A loop device on the image that remains when this process ends has no user. */
  whileAttaching<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#noted('attaching', image, work);
  }

  async #noted<T>(kind: 'frozen' | 'attaching', image: string, work: () => Promise<T>): Promise<T> {
    this.note([kind, image, true]);
    try {
      return await work();
    } finally {
      this.note([kind, image, null]);
    }
  }

  #close(): void {
    this.#state = undefined;
    this.#head = undefined;
    this.#file?.close();
    this.#file = undefined;
  }

  #begin(): void {
    const state = this.#state?.();
    if (state === undefined) return;
    const { connection, active, mounts } = state;
    for (const { id, name } of connection.nodes) this.#entries.apply(['node', id, name]);
    for (const { handle, ...open } of connection.open) this.#entries.apply(['open', handle, open]);
    for (const name of active) this.#entries.apply(['active', name, true]);
    for (const mount of mounts) this.#entries.apply(['mount', mount.name, mount]);
    this.#head = handoverHead({ supervisor: process.ppid, maxIo: connection.maxIo });
    this.#write(() => undefined);
  }

  /** @param change what is added to a file that has the rest */
  #write(change: (file: HandoverFile) => void): void {
    try {
      if (this.#file === undefined)
        this.#file = new HandoverFile(handoverFile(this.#layout), this.#head ?? '', this.#entries, {
          onFailure: this.#onFailure,
        });
      else change(this.#file);
    } catch (error) {
      this.#file?.close();
      this.#file = undefined;
      removeHandover(this.#layout);
      this.#onFailure(error);
    }
  }
}
